"""Token-selection methods, one file each, found by name."""

from seats.methods.base import AfterLayer, BeforeLLM, Method, ModelShape, Retention, Selection
from seats.methods.full import Full
from seats.methods.random import Random
from seats.methods.registry import method_class, retention_for, set_up
from seats.methods.saliency import Saliency
from seats.methods.seats import Seats
from seats.methods.seats_plus import SeatsPlus
from seats.models.signals import EncoderWants

__all__ = [
    "AfterLayer",
    "BeforeLLM",
    "EncoderWants",
    "Full",
    "Method",
    "ModelShape",
    "Random",
    "Retention",
    "Saliency",
    "Seats",
    "SeatsPlus",
    "Selection",
    "method_class",
    "retention_for",
    "set_up",
]
