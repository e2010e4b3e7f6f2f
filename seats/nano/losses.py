"""Losses: the answers, and auxiliary ones that tell each layer what it should know by then (training only)."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from seats.models import compat
from seats.nano.examples import Batch
from seats.nano.facts import FACT_NAMES, FACTS, GROUPS, IGNORE
from seats.nano.packing import Packed
from seats.nano.sequence import VIDEO_TOKENS_PER_SECOND
from seats.nano.vocabulary import LETTERS, TOKEN_IDS

ENCODER_VIDEO_FACTS = ("shape", "colour", "side")
ENCODER_AUDIO_FACTS = ("sound",)
DIRECT_FACTS = ("shape", "colour", "sound", "side")
"""Facts read off a state with the word embeddings themselves; others through a linear map of their own first."""


class FactHeads(nn.Module):
    """Reads facts off hidden states, by comparing them with the embeddings of the words of each fact's group."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.maps = nn.ModuleDict(
            {name: nn.Linear(hidden, hidden, bias=False) for name in FACT_NAMES if name not in DIRECT_FACTS}
        )
        for layer in self.maps.values():
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=hidden**-0.5)
        self._words = {group: torch.tensor([TOKEN_IDS[word] for word in words]) for group, words in GROUPS.items()}

    def forward(self, name: str, states: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Scores `[N, words of the group]` for states `[N, D]`."""
        states = states * torch.rsqrt(states.square().mean(-1, keepdim=True) + 1e-6)
        if name in self.maps:
            states = self.maps[name](states)
        return states @ embeddings[self._words[FACTS[name]]].T

    def loss(
        self, states: torch.Tensor, labels: torch.Tensor, embeddings: torch.Tensor, names: tuple[str, ...]
    ) -> torch.Tensor:
        """Mean over facts of their cross entropy. states `[N, D]`, labels `[N, facts]`."""
        total = states.new_zeros(())
        used = 0
        for name in names:
            wanted = labels[:, FACT_NAMES.index(name)].long()
            known = (wanted != IGNORE).nonzero().squeeze(1)
            if len(known):
                total = total + F.cross_entropy(self(name, states[known], embeddings), wanted[known])
                used += 1
        return total / max(used, 1)

    def accuracy(
        self,
        states: torch.Tensor,
        labels: torch.Tensor,
        embeddings: torch.Tensor,
        names: tuple[str, ...] = FACT_NAMES,
    ) -> dict[str, tuple[int, int]]:
        """For each fact (right, known), over labels other than "none"."""
        result = {}
        for name in names:
            wanted = labels[:, FACT_NAMES.index(name)].long()
            least = 0 if FACTS[name] in ("time", "fresh") else 1
            known = (wanted >= least).nonzero().squeeze(1)
            if len(known):
                guess = self(name, states[known], embeddings).argmax(-1)
                result[name] = (int((guess == wanted[known]).sum()), len(known))
        return result


def answer_loss(thinker: Qwen2_5OmniThinkerForConditionalGeneration, batch: Batch, packed: Packed) -> torch.Tensor:
    """Weighted cross entropy of the answers' words."""
    asked = batch.target != IGNORE
    scores = thinker.lm_head(packed.final[asked])
    each = F.cross_entropy(scores, batch.target[asked], reduction="none")
    weight = batch.weight[asked]
    return (each * weight).sum() / weight.sum()


def early_losses(
    thinker: Qwen2_5OmniThinkerForConditionalGeneration, batch: Batch, packed: Packed
) -> dict[str, torch.Tensor]:
    """The answer's word some layers early, and at each option of a choice its letter.

    With these a choice needs only one step more: from the word to the option that is that word, and its letter.
    Without them that step is not found for long, as each half of it is of no use without the other.
    """
    norm = compat.text_model(thinker).norm
    asked = batch.early_answer != IGNORE
    losses = {"early": F.cross_entropy(thinker.lm_head(norm(packed.early_states[asked])), batch.early_answer[asked])}
    offered = batch.option_letter != IGNORE
    if offered.any():
        letters = torch.tensor([TOKEN_IDS[letter] for letter in LETTERS])
        scores = thinker.lm_head(norm(packed.early_states[offered]))[:, letters]
        losses["option"] = F.cross_entropy(scores, batch.option_letter[offered])
        chosen = batch.option_at != IGNORE
        losses["choice"] = F.cross_entropy(packed.choice_scores[chosen], batch.option_at[chosen])
    return losses


def encoder_loss(
    heads: FactHeads, batch: Batch, video: torch.Tensor | None, audio: torch.Tensor | None, embeddings: torch.Tensor
) -> torch.Tensor:
    """What each encoder output shows or sounds like, "none" and something balanced against each other."""
    terms = []
    if video is not None and batch.video_facts is not None:
        terms += _balanced(heads, video, batch.video_facts, embeddings, ENCODER_VIDEO_FACTS)
        terms += _object_loss(heads, video, batch.video_facts, embeddings)
    if audio is not None and batch.audio_facts is not None:
        terms += _balanced(heads, audio, batch.audio_facts, embeddings, ENCODER_AUDIO_FACTS)
    return torch.stack(terms).mean()


def _object_loss(
    heads: FactHeads, video: torch.Tensor, labels: torch.Tensor, embeddings: torch.Tensor
) -> list[torch.Tensor]:
    """The shape, read off the mean of an object's tokens in one second: at first a clearer signal than each token. It
    counts twice."""
    shapes = labels[..., FACT_NAMES.index("shape")].long()
    colours = labels[..., FACT_NAMES.index("colour")].long()
    place = torch.arange(shapes.numel()).view_as(shapes) // VIDEO_TOKENS_PER_SECOND
    shown = shapes > 0
    if not shown.any():
        return []
    seen, member = torch.stack([place, shapes, colours], -1)[shown].unique(dim=0, return_inverse=True)
    total = video.new_zeros(len(seen), video.shape[-1]).index_add(0, member, video[shown])
    pooled = total / torch.bincount(member)[:, None]
    return [F.cross_entropy(heads("shape", pooled, embeddings), seen[:, 1])] * 2


def _balanced(
    heads: FactHeads, states: torch.Tensor, labels: torch.Tensor, embeddings: torch.Tensor, names: tuple[str, ...]
) -> list[torch.Tensor]:
    states, labels = states.flatten(0, 1), labels.flatten(0, 1)
    terms = []
    for name in names:
        wanted = labels[:, FACT_NAMES.index(name)].long()
        for part in (wanted == 0, wanted > 0):
            known = part.nonzero().squeeze(1)
            if len(known):
                terms.append(F.cross_entropy(heads(name, states[known], embeddings), wanted[known]))
    return terms


def prefix_labels(batch: Batch) -> torch.Tensor:
    """Labels at the positions of the prefix, `[B, P, facts]`. Video tokens without an object have none."""
    count = len(batch.ids)
    result = torch.full((count, len(batch.shape.prefix), len(FACT_NAMES)), IGNORE, dtype=torch.int16)
    if batch.video_facts is not None:
        facts = batch.video_facts.clone()
        facts[facts[..., FACT_NAMES.index("shape")] == 0] = IGNORE
        result[:, batch.shape.video_places] = facts
    if batch.audio_facts is not None:
        result[:, batch.shape.audio_places] = batch.audio_facts
    return result


def token_relevance(batch: Batch) -> torch.Tensor:
    """1 at positions of the prefix that show an object or hold a sound, infinite at text, else 0: `[B, P]`."""
    count = len(batch.ids)
    result = torch.full((count, len(batch.shape.prefix)), float("inf"))
    if batch.video_facts is not None:
        result[:, batch.shape.video_places] = (batch.video_facts[..., FACT_NAMES.index("shape")] > 0).float()
    if batch.audio_facts is not None:
        result[:, batch.shape.audio_places] = (batch.audio_facts[..., FACT_NAMES.index("sound")] > 0).float()
    return result
