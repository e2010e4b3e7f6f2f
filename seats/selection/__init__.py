"""Tensor functions of token selection, with no model in them."""

from seats.selection.budget import keep_counts, remove_late, run_windows, select_relevant
from seats.selection.diversity import keep_count, select_diverse
from seats.selection.relevance import last_query_relevance
from seats.selection.saliency import column_mass, mean_query_attention, merge_groups, merge_keys
from seats.selection.schedule import Schedule, decay_schedule, feasible, feasible_scale, keep_ratios

__all__ = [
    "Schedule",
    "column_mass",
    "decay_schedule",
    "feasible",
    "feasible_scale",
    "keep_count",
    "keep_counts",
    "keep_ratios",
    "last_query_relevance",
    "mean_query_attention",
    "merge_groups",
    "merge_keys",
    "remove_late",
    "run_windows",
    "select_diverse",
    "select_relevant",
]
