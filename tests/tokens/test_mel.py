"""The spectrogram against WhisperFeatureExtractor, called as the two stock processors call it."""

import tracemalloc

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from seats.tokens.mel import MelSpec, log_mel, mel_frames

RATE = 16000
LENGTHS = [1, 2, 159, 160, 161, 199, 200, 201, 319, 320, 401, 1599, 5 * RATE + 1, 5 * RATE + 159, 70 * RATE + 37]
PADDED, UNPADDED = MelSpec(), MelSpec(padded=False)


@pytest.fixture(scope="module")
def extractor():
    return WhisperFeatureExtractor(feature_size=128, chunk_length=71)


def waveform(samples: int, seed: int = 0) -> np.ndarray:
    """Tones over noise that swell, with silence in between: loud and quiet frames, none alike."""
    time = np.arange(samples) / RATE
    noise = np.random.default_rng(seed).standard_normal(samples)
    wave = np.sin(2 * np.pi * 440 * time) * np.sin(time) ** 2 + 0.01 * noise
    wave[samples // 3 : samples // 2] = 0
    return wave.astype(np.float32)


def qwen25(extractor, wave: np.ndarray) -> torch.Tensor:
    """Padded to the extractor's full length; the frames that the attention mask covers."""
    made = extractor(wave, sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="pt")
    return made.input_features[0][:, made.attention_mask[0].bool()]


def qwen3(extractor, wave: np.ndarray) -> torch.Tensor:
    made = extractor(
        wave, sampling_rate=RATE, padding=True, truncation=False, return_attention_mask=True, return_tensors="pt"
    )
    return made.input_features[0][:, made.attention_mask[0].bool()]


@pytest.mark.parametrize("samples", LENGTHS)
def test_equals_the_padded_extractor(extractor, samples):
    wave = waveform(samples)
    theirs, ours = qwen25(extractor, wave), log_mel(wave, PADDED)
    assert ours.dtype == torch.float32
    assert ours.shape == theirs.shape == (128, mel_frames(samples, PADDED))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [n for n in LENGTHS if n > 200])
def test_equals_the_unpadded_extractor(extractor, samples):
    wave = waveform(samples)
    theirs, ours = qwen3(extractor, wave), log_mel(wave, UNPADDED)
    assert ours.shape == theirs.shape == (128, mel_frames(samples, UNPADDED))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [160, 199, 200])
def test_a_sound_too_short_for_the_unpadded_extractor_gives_a_frame(samples):
    mel = log_mel(waveform(samples), UNPADDED)
    assert mel.shape == (128, 1)
    assert mel.isfinite().all()


@pytest.mark.parametrize("early", [1, 20, 39, 41, 100])
@pytest.mark.parametrize("spec", [PADDED, UNPADDED], ids=["padded", "unpadded"])
def test_a_click_at_the_very_end_sets_the_range(extractor, spec, early):
    wave = 1e-5 * waveform(4800)
    wave[-early] = 1.0
    theirs = (qwen25 if spec.padded else qwen3)(extractor, wave)
    torch.testing.assert_close(log_mel(wave, spec), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", [PADDED, UNPADDED], ids=["padded", "unpadded"])
@pytest.mark.parametrize("block", [1, 7, 31, 32, 500])
def test_blocks_change_nothing(spec, block):
    wave = waveform(5 * RATE + 77)
    torch.testing.assert_close(log_mel(wave, spec, block), log_mel(wave, spec), rtol=0, atol=1e-6)


def test_long_sound_is_whole():
    wave = waveform(400 * RATE)
    mel = log_mel(wave, PADDED)
    assert mel.shape == (128, 40_000)
    assert mel[:, 39_000:].std() > 0.1


@pytest.mark.parametrize("spec", [PADDED, UNPADDED], ids=["padded", "unpadded"])
def test_the_sound_is_copied_once(spec):
    """torch's own memory is not traced: what counts is NumPy's."""
    wave = waveform(60 * RATE)
    log_mel(wave[:RATE], spec)
    tracemalloc.start()
    log_mel(wave, spec)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * wave.nbytes
