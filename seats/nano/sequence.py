"""A clip's part of the sequence, before the questions about it: ids, M-RoPE positions, and where its tokens are."""

from dataclasses import dataclass
from functools import cache, cached_property

import torch

from seats.models.families import Qwen25Omni
from seats.nano.config import thinker_config
from seats.nano.render_video import TOKENS_PER_SIDE
from seats.nano.vocabulary import encode_words
from seats.tokens.layout import Modality
from seats.tokens.sequence import Sequence, SequenceRule, build_sequence

_FAMILY = Qwen25Omni()
AUDIO_TOKENS_PER_SECOND = 25
VIDEO_TOKENS_PER_SECOND = TOKENS_PER_SIDE**2
SYSTEM_WORDS = ("<|im_start|>", "system", "you", "are", "a", "helpful", "assistant", ".", "<|im_end|>")
ANSWER_START = ("<|im_end|>", "<|im_start|>", "assistant")


@dataclass(frozen=True)
class ClipShape:
    """What decides the layout of a clip's part of the sequence.

    `mel_frames` is the length of the sound (100 a second), which files often make a little longer or shorter than the
    picture; 0 without sound. `seconds` of picture; `has_video` False without picture.
    """

    seconds: int
    mel_frames: int
    has_video: bool = True
    system: bool = False

    @cached_property
    def audio_tokens(self) -> int:
        return _FAMILY.audio_tokens(self.mel_frames, None)

    @cached_property
    def prefix(self) -> list[int]:
        """Ids up to and with the end of the clip; the question follows."""
        return self._sequence.ids[:-1].tolist()

    @property
    def positions(self) -> torch.Tensor:
        """M-RoPE positions of the prefix and of the token after it: `[3, P + 1]`."""
        return self._sequence.positions

    @property
    def video_places(self) -> torch.Tensor:
        """Positions in the prefix of the video tokens."""
        return self._sequence.layout.positions(Modality.VIDEO)

    @property
    def audio_places(self) -> torch.Tensor:
        """Positions in the prefix of the audio tokens."""
        return self._sequence.layout.positions(Modality.AUDIO)

    @cached_property
    def _sequence(self) -> Sequence:
        """The prefix and the question's first word."""
        kind, mark = ("VIDEO", "vision") if self.has_video else ("AUDIO", "audio")
        clip = (f"<|{mark}_bos|>", f"<|{kind}|>", f"<|{mark}_eos|>")
        prompt = encode_words([*(SYSTEM_WORDS if self.system else ()), "<|im_start|>", "user", *clip, "what"])
        grid = (self.seconds, TOKENS_PER_SIDE, TOKENS_PER_SIDE) if self.has_video else None
        return build_sequence(prompt, _rule(), grid, 1.0, self.audio_tokens)


@cache
def _rule() -> SequenceRule:
    return _FAMILY.sequence_rule(thinker_config())
