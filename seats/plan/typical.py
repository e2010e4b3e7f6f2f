"""A clip to compare models by: there is no file behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seats.plan.clip import ClipFacts, Pictures, Sound

SECONDS, FPS = 120, 30


def two_minutes() -> ClipFacts:
    """Two minutes of 854 x 480 pixels at 30 frames a second, with sound."""
    times = np.arange(SECONDS * FPS) / FPS
    pictures = Pictures(854, 480, "h264", times, 1 / FPS, (float(FPS),), exact=True)
    sound = Sound(48_000, float(SECONDS), exact=True)
    return ClipFacts(Path("two-minutes.mp4"), float(SECONDS), pictures, sound)
