"""Tensor functions of token selection, with no model in them."""

from seats.selection.budget import choose_relevant, keep_counts, paired_runs, remove_late, run_windows
from seats.selection.density import peak_scores
from seats.selection.diversity import diverse_count, diverse_macs, keep_count, select_diverse, select_even
from seats.selection.farthest import farthest_macs, select_farthest
from seats.selection.reallocation import audio_intact, random_mask, top_mask
from seats.selection.relevance import last_query_relevance, question_relevance
from seats.selection.saliency import column_mass, mean_query_attention, merge_groups, merge_keys
from seats.selection.schedule import Schedule, decay_schedule, feasible, feasible_scale, keep_ratios

__all__ = [
    "Schedule",
    "audio_intact",
    "choose_relevant",
    "column_mass",
    "decay_schedule",
    "diverse_count",
    "diverse_macs",
    "farthest_macs",
    "feasible",
    "feasible_scale",
    "keep_count",
    "keep_counts",
    "keep_ratios",
    "last_query_relevance",
    "mean_query_attention",
    "merge_groups",
    "merge_keys",
    "paired_runs",
    "peak_scores",
    "question_relevance",
    "random_mask",
    "remove_late",
    "run_windows",
    "select_diverse",
    "select_even",
    "select_farthest",
    "top_mask",
]
