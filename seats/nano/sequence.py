"""The sequence that the stock processor and chat template make of a clip, as ids and M-RoPE positions."""

from dataclasses import dataclass
from functools import cached_property

import torch
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from seats.models import compat
from seats.nano.render_video import TOKENS_PER_SIDE
from seats.nano.vocabulary import TOKEN_IDS, encode_words

SECONDS_PER_CHUNK = 2
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

    @property
    def has_audio(self) -> bool:
        return self.mel_frames > 0

    @cached_property
    def audio_tokens(self) -> int:
        """Tokens of the sound: a convolution of stride 2 and a pooling of 2."""
        return ((self.mel_frames - 1) // 2 - 1) // 2 + 1 if self.mel_frames else 0

    @cached_property
    def prefix(self) -> list[int]:
        """Ids up to and with the end of the clip; the question follows."""
        video, audio = TOKEN_IDS["<|VIDEO|>"], TOKEN_IDS["<|AUDIO|>"]
        ids = encode_words([*(SYSTEM_WORDS if self.system else ()), "<|im_start|>", "user"])
        if self.has_video and not self.has_audio:
            body = [video] * (self.seconds * VIDEO_TOKENS_PER_SECOND)
            return [*ids, TOKEN_IDS["<|vision_bos|>"], *body, TOKEN_IDS["<|vision_eos|>"]]
        if not self.has_video:
            return [*ids, TOKEN_IDS["<|audio_bos|>"], *[audio] * self.audio_tokens, TOKEN_IDS["<|audio_eos|>"]]
        ids += encode_words(["<|vision_bos|>", "<|audio_bos|>"])
        left = self.audio_tokens
        for first in range(0, max(self.seconds, -(-left // AUDIO_TOKENS_PER_SECOND)), SECONDS_PER_CHUNK):
            grids = max(0, min(SECONDS_PER_CHUNK, self.seconds - first))
            sounds = min(left, SECONDS_PER_CHUNK * AUDIO_TOKENS_PER_SECOND)
            left -= sounds
            ids += [video] * (grids * VIDEO_TOKENS_PER_SECOND) + [audio] * sounds
        return [*ids, *encode_words(["<|audio_eos|>", "<|vision_eos|>"])]

    @cached_property
    def video_places(self) -> torch.Tensor:
        """Positions in the prefix of the video tokens."""
        return (torch.tensor(self.prefix) == TOKEN_IDS["<|VIDEO|>"]).nonzero().squeeze(1)

    @cached_property
    def audio_places(self) -> torch.Tensor:
        """Positions in the prefix of the audio tokens."""
        return (torch.tensor(self.prefix) == TOKEN_IDS["<|AUDIO|>"]).nonzero().squeeze(1)


def prefix_positions(thinker: Qwen2_5OmniThinkerForConditionalGeneration, shape: ClipShape) -> torch.Tensor:
    """M-RoPE positions of the prefix and of the token after it, from the stock model's own rule: `[3, P + 1]`."""
    ids = torch.tensor([[*shape.prefix, TOKEN_IDS["what"]]])
    if not shape.has_video:
        return torch.arange(ids.shape[1]).expand(3, -1)
    side = 2 * TOKENS_PER_SIDE
    positions, _ = compat.multimodal_model(thinker).get_rope_index(
        ids,
        video_grid_thw=torch.tensor([[shape.seconds, side, side]]),
        attention_mask=torch.ones_like(ids),
        use_audio_in_video=shape.has_audio,
        audio_seqlens=torch.tensor([shape.mel_frames]) if shape.has_audio else None,
        second_per_grids=torch.tensor([1.0]),
    )
    return positions[:, 0]
