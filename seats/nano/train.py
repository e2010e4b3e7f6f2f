"""Train seats-nano from nothing: `python -m seats.nano.train`.

One process trains, one worker renders. Every step is a function of its number, and a checkpoint is written every few
minutes, so `--resume` goes on where a run stopped.
"""

import argparse
import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from seats.allocator import keep_freed_memory
from seats.models import compat
from seats.models.window_attention import use_window_attention
from seats.nano.config import HIDDEN, build_thinker
from seats.nano.curriculum import Curriculum, Step, TrainSettings, kept_tokens
from seats.nano.evaluate import evaluate, held_out_batches
from seats.nano.facts import ASKED_FACTS, ENTITY_FACTS, FACT_NAMES
from seats.nano.losses import FactHeads, answer_loss, early_losses, encoder_loss, prefix_labels, token_relevance
from seats.nano.packing import PackedForward, encode_audio, encode_video, word_embeddings

log = logging.getLogger("seats.nano.train")


class Trainer:
    """Model, auxiliary heads, optimisers and the place in the curriculum."""

    def __init__(self, settings: TrainSettings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.thinker = build_thinker()
        self.heads = FactHeads(HIDDEN)
        use_window_attention(compat.vision_encoder(self.thinker), compat.audio_encoder(self.thinker))
        self.forward = PackedForward(self.thinker)
        self.step = 0
        self.seconds = self.waited = 0.0
        self.averages = Averages()
        self._optimizers = self._make_optimizers()

    def _make_optimizers(self) -> list[torch.optim.Optimizer]:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in self.thinker.named_parameters():
            plain = parameter.ndim == 2 and not any(part in name for part in ("embed", "lm_head", "audio_bos"))
            (matrices if plain else others).append(parameter)
        matrices += list(self.heads.parameters())
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return [
            torch.optim.Muon(matrices, lr=rate, weight_decay=decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def learning_rate(self) -> float:
        """Warm-up, constant, then a cosine down to 2 %."""
        settings = self.settings
        if self.step < settings.encoder_steps:
            return settings.encoder_learning_rate * min(1.0, (self.step + 1) / settings.warmup)
        part = settings.progress(self.step)
        decay = max(0.0, (part - settings.decay_from) / (1 - settings.decay_from))
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * decay))
        return settings.learning_rate * min(1.0, (self.step - settings.encoder_steps + 1) / settings.warmup) * cosine

    def train_step(self, step: Step) -> dict[str, float]:
        """One update. Returns the losses and the norm of the gradient."""
        batch = step.batch
        thinker = self.thinker
        embeddings = word_embeddings(thinker)
        with torch.set_grad_enabled(not step.frozen_encoders):
            video = encode_video(thinker, batch.frames) if batch.frames is not None else None
            audio = encode_audio(thinker, batch.mel) if batch.mel is not None else None
        losses = {}
        if not step.frozen_encoders:
            losses["encoder"] = encoder_loss(self.heads, batch, video, audio, embeddings)
        if not step.encoder_only:
            kept = kept_tokens(token_relevance(batch), step) if step.biased else None
            packed = self.forward(batch, video, audio, kept)
            losses["answer"] = self.settings.answer_weight * answer_loss(thinker, batch, packed)
            for name, loss in early_losses(thinker, batch, packed).items():
                losses[name] = self.settings.early_weight * loss
            labels = prefix_labels(batch)
            if kept is not None:
                labels = labels.gather(1, kept[..., None].expand(-1, -1, len(FACT_NAMES)))
            scaled = embeddings / compat.text_model(thinker).norm.weight.detach().abs().mean()
            losses["middle"] = self.settings.middle_weight * self.heads.loss(
                packed.prefix_states.flatten(0, 1), labels.flatten(0, 1), scaled, FACT_NAMES
            )
            labels = batch.question_facts.flatten(0, 1)
            losses["entity"] = self.settings.entity_weight * self.heads.loss(
                packed.question_states.flatten(0, 1), labels, scaled, ENTITY_FACTS
            )
            asked = self.heads.loss(packed.question_states.flatten(0, 1), labels, scaled, ("asked_side",))
            asked = asked + self.heads.loss(packed.asked_states.flatten(0, 1), labels, scaled, ASKED_FACTS)
            losses["asked"] = self.settings.asked_weight * asked
        rate = self.learning_rate()
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        parameters = [*self.thinker.parameters(), *self.heads.parameters()]
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
        self.step += 1
        return {name: loss.item() for name, loss in losses.items()} | {"gradient": norm.item()}

    def save(self, path: Path) -> None:
        """Write everything that `load` needs; the old file stays whole until the new one is."""
        part = path.with_suffix(".part")
        torch.save(
            {
                "settings": asdict(self.settings),
                "step": self.step,
                "seconds": self.seconds,
                "waited": self.waited,
                "averages": self.averages.values,
                "thinker": self.thinker.state_dict(),
                "heads": self.heads.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            },
            part,
        )
        part.replace(path)

    @classmethod
    def load(cls, path: Path, **changes: float) -> "Trainer":
        """A trainer as it was saved; `changes` replace settings."""
        state = torch.load(path, weights_only=True)
        trainer = cls(TrainSettings(**{**state["settings"], **changes}))
        trainer.thinker.load_state_dict(state["thinker"])
        trainer.heads.load_state_dict(state["heads"])
        for optimizer, saved in zip(trainer._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        matrices, *_ = trainer._optimizers
        for group in matrices.param_groups:  # the saved optimiser's would stand, whatever the settings say
            group["weight_decay"] = trainer.settings.weight_decay
        trainer.step, trainer.seconds, trainer.waited = state["step"], state["seconds"], state.get("waited", 0.0)
        trainer.averages = Averages(state.get("averages", {}))
        return trainer


@dataclass
class Averages:
    """Running means of the losses of late steps."""

    values: dict[str, float] = field(default_factory=dict)

    def add(self, new: dict[str, float]) -> None:
        for name, value in new.items():
            self.values[name] = 0.97 * self.values.get(name, value) + 0.03 * value


def train(trainer: Trainer, folder: Path, eval_minutes: float = 4.0, until: float = math.inf) -> None:
    """Run to the end of the curriculum, or for `until` minutes; log to `log.jsonl`, save `checkpoint.pt`."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = trainer.settings
    loader = DataLoader(
        Curriculum(settings),
        batch_size=None,
        sampler=range(trainer.step, settings.steps),
        num_workers=1,
        prefetch_factor=4,
        worker_init_fn=_yield_to_training,
    )
    held_out = held_out_batches()
    began = since = time.monotonic()
    first_step, before = trainer.step, trainer.seconds
    last_note = time.monotonic()
    trainer.thinker.train()
    asked = time.monotonic()
    for step in loader:
        trainer.waited += time.monotonic() - asked
        trainer.averages.add(trainer.train_step(step))
        now = time.monotonic()
        trainer.seconds = before + now - began
        if now - last_note > 30 or trainer.step == settings.steps:
            last_note = now
            pace = (now - began) / (trainer.step - first_step)
            losses = " ".join(f"{name} {value:.3f}" for name, value in trainer.averages.values.items())
            log.info(
                "step %d/%d, %.2f s a step, %.0f min left: %s",
                trainer.step,
                settings.steps,
                pace,
                pace * (settings.steps - trainer.step) / 60,
                losses,
            )
        ended = trainer.step == settings.steps or (now - began) / 60 > until
        if (now - since) / 60 > eval_minutes or ended:
            _report(trainer, folder, held_out)
            since = time.monotonic()
        if ended:
            break
        asked = time.monotonic()


def _report(trainer: Trainer, folder: Path, held_out: list) -> None:
    trainer.thinker.eval()
    accuracy = evaluate(trainer.forward, held_out, trainer.heads)
    trainer.thinker.train()
    settings = trainer.settings
    for_encoders = min(trainer.step, settings.encoder_steps)
    record = {
        "step": trainer.step,
        "minutes": round(trainer.seconds / 60, 2),
        "clips": (trainer.step - for_encoders) * settings.clips,
        "encoder_clips": for_encoders * settings.encoder_clips,
        "learning_rate": trainer.learning_rate(),
        "waited_s": round(trainer.waited, 1),
        "losses": {name: round(value, 4) for name, value in trainer.averages.values.items()},
        "accuracy": accuracy.summary(),
        "by_type": accuracy.by_type(),
        "facts": accuracy.facts(),
    }
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    log.info("held out: %s %s %s", record["accuracy"], record["by_type"], record["facts"])
    trainer.save(folder / "checkpoint.pt")


def _yield_to_training(_worker: int) -> None:
    # Rendering fits into the gaps between parallel operations; at equal priority it holds up one of training's threads.
    os.nice(19)


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    kinds = {name: type(default) for name, default in asdict(TrainSettings()).items()}
    if name not in kinds:
        raise argparse.ArgumentTypeError(f"no setting {name!r}; there are {', '.join(kinds)}")
    try:
        return name, kinds[name](value)
    except ValueError:
        kind = "a whole number" if kinds[name] is int else "a number"
        raise argparse.ArgumentTypeError(f"{name} is {kind}, not {value!r}") from None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m seats.nano.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/nano"), help="folder of the log and the checkpoint")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--steps", type=int, help="steps of the whole run")
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another of the settings, new or on resuming",
    )
    parser.add_argument("--seed", type=int, help="of weights and clips; 0 if not given")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; --resume goes on")
    parser.add_argument("--eval-minutes", type=float, default=4.0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    keep_freed_memory(without_limit=True)
    checkpoint = options.out / "checkpoint.pt"
    if options.resume and not checkpoint.exists():
        parser.error(f"{checkpoint} is not there: leave out --resume to begin, or check --out")
    if not options.resume and (checkpoint.exists() or (options.out / "log.jsonl").exists()):
        parser.error(f"{options.out} holds a run: go on with --resume, or choose another --out")
    if options.resume and options.seed is not None:
        parser.error("--seed is that of the run: leave it out with --resume")
    changes: dict[str, Any] = dict(options.set)
    if options.steps is not None:
        changes["steps"] = options.steps
    if changes.get("steps", 1) < 1 or changes.get("warmup", 1) < 1 or changes.get("decay_from", 0.0) >= 1:
        parser.error("steps and warmup are at least 1, decay_from is below 1")
    if options.resume:
        trainer = Trainer.load(checkpoint, **changes)
    else:
        trainer = Trainer(TrainSettings(**{"seed": options.seed or 0, **changes}))
    parameters = sum(parameter.numel() for parameter in trainer.thinker.parameters())
    log.info("%.2f M parameters, from step %d", parameters / 1e6, trainer.step)
    train(trainer, options.out, options.eval_minutes, options.minutes)


if __name__ == "__main__":
    main()
