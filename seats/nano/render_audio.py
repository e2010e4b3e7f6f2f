"""The sound of a clip."""

import math

import numpy as np
from numpy.typing import NDArray

from seats.nano.world import ClipDescription, SoundEvent

SAMPLE_RATE = 16_000


def render_waveform(clip: ClipDescription, extra_samples: int = 0) -> NDArray[np.float32]:
    """The clip's sound, mono, 16 kHz, −1 to 1: `[16000 · seconds + extra_samples]`."""
    rng = np.random.default_rng(clip.nuisances.noise_seed + 1)
    length = clip.seconds * SAMPLE_RATE
    wave = rng.standard_normal(length, dtype=np.float32) * np.float32(clip.nuisances.hiss_level)
    _add_nuisances(wave, clip, rng)
    for sound in clip.sounds:
        first = int(sound.start * SAMPLE_RATE)
        tone = _SOUNDS[sound.kind](sound, rng)
        wave[first : first + len(tone)] += tone
    np.clip(wave, -1, 1, out=wave)
    if extra_samples < 0:
        return wave[:extra_samples]
    return np.concatenate([wave, np.zeros(extra_samples, np.float32)])


def _add_nuisances(wave: NDArray[np.float32], clip: ClipDescription, rng: np.random.Generator) -> None:
    nuisances = clip.nuisances
    time = np.arange(len(wave), dtype=np.float32) / SAMPLE_RATE
    if nuisances.hum_level:
        wave += np.float32(nuisances.hum_level) * np.sin(2 * math.pi * 55 * time)
    if nuisances.music_level:
        # One chord a beat, three soft notes each, far quieter than any sound that is asked about.
        beat = int(0.5 * SAMPLE_RATE)
        for first in range(0, len(wave), beat):
            part = time[: min(beat, len(wave) - first)]
            root = 130.8 * 2 ** (rng.integers(0, 8) / 12)
            chord = sum(np.sin(2 * math.pi * root * ratio * part) for ratio in (1.0, 1.26, 1.498))
            wave[first : first + beat] += np.float32(nuisances.music_level / 3) * chord * np.exp(-3 * part)
    for moment in nuisances.thump_times:
        first, length = int(moment * SAMPLE_RATE), int(0.06 * SAMPLE_RATE)
        part = time[:length]
        wave[first : first + length] += (0.3 * np.sin(2 * math.pi * 70 * part) * np.exp(-part * 50)).astype(np.float32)


def _envelope(sound: SoundEvent) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sample times from the sound's start, and its loudness: a short rise, a short fall."""
    time = np.asarray(np.arange(int(sound.duration * SAMPLE_RATE)) / SAMPLE_RATE, np.float32)
    edges = np.minimum(time / 0.01, (sound.duration - time) / 0.02)
    return time, np.asarray(np.clip(edges, 0, 1) * sound.amplitude, np.float32)


def _hum(sound: SoundEvent, rng: np.random.Generator) -> NDArray[np.float32]:
    time, loudness = _envelope(sound)
    turn = 2 * math.pi * 220 * sound.pitch * time
    return loudness * (np.sin(turn) + 0.3 * np.sin(2 * turn))


def _beep(sound: SoundEvent, rng: np.random.Generator) -> NDArray[np.float32]:
    time, loudness = _envelope(sound)
    return loudness * np.sin(2 * math.pi * 1500 * sound.pitch * time)


def _hiss(sound: SoundEvent, rng: np.random.Generator) -> NDArray[np.float32]:
    time, loudness = _envelope(sound)
    return loudness * 0.5 * rng.standard_normal(len(time), dtype=np.float32)


def _siren(sound: SoundEvent, rng: np.random.Generator) -> NDArray[np.float32]:
    time, loudness = _envelope(sound)
    return loudness * np.sin(2 * math.pi * (400 * time + 1100 * time * time / sound.duration) * sound.pitch)


def _click(sound: SoundEvent, rng: np.random.Generator) -> NDArray[np.float32]:
    time, loudness = _envelope(sound)
    pulses = np.exp(-((time * 14 * sound.pitch) % 1.0) * 25)
    return loudness * 1.5 * pulses * rng.standard_normal(len(time), dtype=np.float32)


def _buzz(sound: SoundEvent, rng: np.random.Generator) -> NDArray[np.float32]:
    time, loudness = _envelope(sound)
    return loudness * 0.6 * np.sign(np.sin(2 * math.pi * 110 * sound.pitch * time))


def _bell(sound: SoundEvent, rng: np.random.Generator) -> NDArray[np.float32]:
    time, loudness = _envelope(sound)
    turn = 2 * math.pi * 820 * sound.pitch * time
    tone = np.sin(turn) + 0.6 * np.sin(2.76 * turn) + 0.4 * np.sin(5.4 * turn)
    return loudness * 0.8 * tone * np.exp(-3.5 * time)


def _chirp(sound: SoundEvent, rng: np.random.Generator) -> NDArray[np.float32]:
    """Short falling sweeps, seven a second, as of a bird."""
    time, loudness = _envelope(sound)
    part = (time * 7 * sound.pitch) % 1.0
    return loudness * np.sin(2 * math.pi * (3400 * part - 900 * part * part) / 7) * (part < 0.7)


_SOUNDS = {
    "hum": _hum,
    "beep": _beep,
    "hiss": _hiss,
    "siren": _siren,
    "click": _click,
    "buzz": _buzz,
    "bell": _bell,
    "chirp": _chirp,
}
