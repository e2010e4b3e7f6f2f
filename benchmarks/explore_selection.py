"""What choices inside SEATS are worth on shapes-and-sounds, measured on questions of their own.

    python -m seats.nano.testset runs/tuning --split validation --clips 160
    python benchmarks/explore_selection.py runs/tuning --keep 10 --variant seats --variant power=2+audio_choice=even

Asked are the questions of the set and, apart, every one that wants a list of what a clip holds. Every variant meets the
same target retention as the published method, so variants of one line cost nearly the same; the LLM's FLOPs are told
beside each. `--model` takes a folder too, e.g. with seats-nano's weights of another commit. One JSON document on
standard output.
"""

import argparse
import json
import random
import sys
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from seats.costs.flops import flops_report
from seats.costs.timers import StepTimer
from seats.errors import SettingsError
from seats.evaluation.qa import QAItem, load_qa
from seats.evaluation.statistics import wilson
from seats.inference.encode import build_prompt, encode_clip
from seats.inference.generate import Decoding, generate
from seats.media import load_clip
from seats.methods import Full, Random, Saliency, Seats, method_class, retention_for
from seats.methods.base import Selection
from seats.models.checkpoint import find_checkpoint
from seats.models.families import rotate
from seats.models.omni import load_model
from seats.models.thinker import Thinker
from seats.nano.questions import all_questions
from seats.nano.testset import held_out_clips
from seats.selection.counts import keep_count
from seats.selection.diversity import select_diverse
from seats.selection.schedule import feasible_scale
from seats.tokens.layout import Modality


def question_attention(thinker, number, hidden, rotary, layout, layer_of_weights):
    """Attention `[heads, Q, S]` of the text tokens behind the clip, each to all tokens up to itself."""
    block = thinker.layers[min(number - 1 + layer_of_weights, len(thinker.layers) - 1)]
    attention = block.self_attn
    x = block.input_layernorm(hidden)[0]
    av = layout.modality != int(Modality.TEXT)
    first = int(av.nonzero()[-1]) + 1 if av.any() else 0
    q = attention.q_proj(x[first:]).view(len(x) - first, -1, attention.head_dim)
    k = attention.k_proj(x).view(len(x), -1, attention.head_dim)
    if hasattr(attention, "q_norm"):
        q, k = attention.q_norm(q), attention.k_norm(k)
    cos, sin = rotary[0][0], rotary[1][0]
    q, k = rotate(q, cos[first:], sin[first:]).float(), rotate(k, cos, sin).float()
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    scores = torch.einsum("qhd,khd->hqk", q, k) * attention.scaling
    later = torch.arange(len(x))[None] > torch.arange(first, len(x))[:, None]
    return scores.masked_fill(later, -torch.inf).softmax(-1)


HEADS = {
    "mean": lambda a: a.mean(0),
    "max": lambda a: a.amax(0),
}
QUERIES = {
    "last": lambda a: a[-1],
    "mean": lambda a: a.mean(0),
    "max": lambda a: a.amax(0),
}


@dataclass(frozen=True)
class Variant(Seats):
    """SEATS with one or more choices changed.

    queries, heads: how attention becomes one score a token. weights: of this layer (0, as published) or the next (1).
    share: "windows" as published, "modality" the best of each modality wherever they are, "joint" of both, each
    modality's attention first made a share of its own, "raw" the best of both as they are, "diverse" tokens of each
    modality that are unlike one another and relevant, as Stage I chooses by saliency, among every `among` of them;
    "unlike" the same without relevance. stage1: "published",
    "salient" (no diversity) or "random". power: of the saliency in the published one, 0 for none. grids, sounds: its
    windows, in temporal grids and audio tokens, 0 for the whole clip. audio_choice: "published", "even" distances in
    time, or "equal" saliency.
    """

    queries: str = "last"
    heads: str = "mean"
    weights: int = 0
    share: str = "windows"
    stage1: str = "published"
    power: float = 1.0
    grids: int = 2
    sounds: int = 50
    audio_choice: str = "published"
    among: int = 128

    def before_llm(self, state):
        scale = self.pre_llm_scale
        if self.stage1 == "random":
            return Random(self.video * scale, self.audio * scale, seed=0).before_llm(state)
        if self.stage1 == "salient":
            return Saliency(self.video * scale, self.audio * scale).before_llm(state)
        layout = state.layout
        keep = torch.ones(len(layout), dtype=torch.bool)
        for kind, ratio in ((Modality.VIDEO, self.video), (Modality.AUDIO, self.audio)):
            where = layout.positions(kind)
            if not len(where):
                continue
            if kind is Modality.AUDIO and self.audio_choice == "even":
                count = keep_count(len(where), min(1, ratio * scale))
                keep[where] = False
                keep[where[(torch.arange(count) + 0.5).mul(len(where) / count).long()]] = True
                continue
            if kind is Modality.AUDIO and self.audio_choice == "equal":
                keep[where] = select_diverse(state.embeds[where], None, self.sounds, min(1, ratio * scale))
                continue
            window = self.grids * layout.tokens_per_grid() if kind is Modality.VIDEO else self.sounds
            saliency = state.saliency[where] ** self.power
            keep[where] = select_diverse(state.embeds[where], saliency, window or len(where), min(1, ratio * scale))
        return Selection(keep)

    def after_layer(self, state):
        if state.layer == self.late_layer - 1 or self.share == "windows":
            return super().after_layer(state)
        scores, layout = state.relevance(), state.layout
        ratio = self._keep_ratios()[self.drop_layers.index(state.layer)]
        keep = layout.is_modality(Modality.TEXT)
        kinds = [layout.is_modality(kind) for kind in (Modality.VIDEO, Modality.AUDIO)]
        if self.share in ("diverse", "unlike"):
            for here in kinds:
                relevance = scores[here] if self.share == "diverse" else None
                keep[here] = select_diverse(state.hidden[here], relevance, self.among, ratio)
            return Selection(keep)
        if self.share == "modality":
            for here in kinds:
                n = int(here.sum())
                if n:
                    best = scores.masked_fill(~here, -1).topk(max(1, round(n * ratio))).indices
                    keep[best] = True
            return Selection(keep)
        total = sum(max(1, round(int(here.sum()) * ratio)) for here in kinds if here.any())
        ranked = scores.clone()
        if self.share == "joint":
            for here in kinds:
                if here.any():
                    ranked[here] /= ranked[here].mean().clamp(min=1e-12)
        best = ranked.masked_fill(keep, -1).topk(total).indices
        keep[best] = True
        return Selection(keep)


@contextmanager
def scored_by(variant):
    """Let the engine's relevance be the variant's."""
    stock = Thinker.relevance
    if isinstance(variant, Variant) and (variant.queries, variant.heads, variant.weights) != ("last", "mean", 0):

        def relevance(self, number, hidden, rotary):
            attention = question_attention(self, number, hidden, rotary, scored_by.layout, variant.weights)
            return QUERIES[variant.queries](HEADS[variant.heads](attention))

        Thinker.relevance = relevance
    try:
        yield
    finally:
        Thinker.relevance = stock


def catch_layouts():
    """Keep the layout that the engine is about to ask scores for, which its relevance is not told."""
    from seats.inference.engine import Engine

    stock = Engine._after_layer

    def after_layer(self, alive, *rest):
        scored_by.layout = alive.layout
        return stock(self, alive, *rest)

    Engine._after_layer = after_layer


def questions_of(folder, limit):
    """Questions of the first `limit` clips of a folder, by clip: those of the set, and every list."""
    by_clip = {}
    for item in load_qa(folder / "questions.jsonl"):
        by_clip.setdefault(item.clip, []).append(item)
    drawn = dict(sorted(by_clip.items())[:limit])
    lists = {}
    for number, test in enumerate(held_out_clips("validation", len(drawn))):
        asked = [one for one in all_questions(test.clip, random.Random(1000 + number)) if one.describes]
        path = folder / test.file
        items = [
            QAItem(f"{test.clip.name}-list-{place}", path, one.text, (one.answer_text,), type=one.type)
            for place, one in enumerate(asked)
        ]
        if items:
            lists[path] = items
    return {"drawn": drawn, "lists": lists}


def measure(model, encoded, questions, method):
    """Accuracy, in all and by the first letter of the type, and the LLM's FLOPs as a share of full tokens'."""
    right, types, share = [], [], []
    timer = StepTimer(model.thinker.device)
    with scored_by(method):
        for clip, items in questions.items():
            for item in items:
                prompt = build_prompt(model, encoded[clip], item.prompt, None, 40, method.wants)
                made = generate(model, prompt, method, Decoding(max_new_tokens=40), timer)
                flops = flops_report(
                    model.thinker.config, made.trace, encoded[clip].workload, method.wants, model.thinker.family
                )
                share.append(flops.run.after_encoders / flops.full.after_encoders)
                right.append(item.is_right(made.text))
                types.append(item.type[0])
    n = len(right)
    low, high = wilson(sum(right), n)
    parts = {t: [r for r, its in zip(right, types, strict=True) if its == t] for t in sorted(set(types))}
    return {
        "asked": n,
        "accuracy": round(sum(right) / n, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "by_kind": {t: round(sum(r) / len(r), 3) for t, r in parts.items()},
        "llm_flops_share": round(sum(share) / n, 4),
    }


def variant_for(name, base, shape):
    """The variant named `key=value+key=value`, from a Seats set up for the target. Keys are fields, `drops` for the
    drop layers, and `removed`, which sets pre_llm_scale: the share of what Stage I leaves that the drop layers remove.
    """
    changes = dict(part.split("=") for part in name.split("+"))
    removed = changes.pop("removed", None)
    drops = changes.pop("drops", None)
    values = {field.name: getattr(base, field.name) for field in fields(base)}
    if drops is not None:
        values["drop_layers"] = () if drops == "none" else tuple(int(x) for x in drops.split("."))
    for key, text in changes.items():
        values[key] = type(getattr(Variant, key, values.get(key)))(text)
    low, high = feasible_scale(shape.num_layers, values["drop_layers"], values["late_layer"])
    if removed is not None:
        values["pre_llm_scale"] = 1 / ((1 - float(removed)) / low + float(removed) / high)
    values["pre_llm_scale"] = min(max(values["pre_llm_scale"], low), high, 1 / max(base.video, base.audio))
    return Variant(**values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of clips with questions.jsonl")
    parser.add_argument("--limit", type=int, default=60, help="clips")
    parser.add_argument("--model", default="seats-nano")
    parser.add_argument("--keep", type=float, action="append", help="percent, as --keep of seats")
    parser.add_argument("--variant", action="append", default=[], help="a method, or key=value+key=value of seats")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    catch_layouts()
    model = load_model(find_checkpoint(options.model))
    shape = model.shape
    asked = questions_of(options.clips, options.limit)
    wants = {Full.wants, Seats.wants, Random.wants}
    encoded = {
        path: encode_clip(model, load_clip(path, sampling=model.sampling), wants, StepTimer(model.thinker.device))
        for path in asked["drawn"]
    }

    def of_both(label, method):
        try:
            found = {name: measure(model, encoded, questions, method) for name, questions in asked.items()}
        except SettingsError as error:
            found = {"error": str(error)}
        print(label, json.dumps(found), file=sys.stderr, flush=True)
        return found

    found = {"full": of_both("full", Full())}
    for keep in options.keep or [10]:
        target = retention_for(shape.family, keep)
        base = Seats.for_model(shape, target, seed=0)
        for name in options.variant or ["seats"]:
            label = f"{name} @ {keep:g}%"
            own = variant_for(name, base, shape) if "=" in name else method_class(name).for_model(shape, target, 0)
            found[label] = of_both(label, own)
    print(json.dumps({"clips": options.limit, "model": options.model, "variants": found}))


if __name__ == "__main__":
    main()
