"""What an answer costs: FLOPs of every part, memory, time per step. Importing it does not import torch."""

from seats.costs.flops import FlopsParts, FlopsReport, Workload, flops_report, paper_macs
from seats.costs.memory import (
    available_bytes,
    checkpoint_bytes,
    kv_cache_bytes,
    parse_size,
    peak_device_bytes,
)
from seats.costs.timers import StepTimer

__all__ = [
    "FlopsParts",
    "FlopsReport",
    "StepTimer",
    "Workload",
    "available_bytes",
    "checkpoint_bytes",
    "flops_report",
    "kv_cache_bytes",
    "paper_macs",
    "parse_size",
    "peak_device_bytes",
]
