"""A clip that is being read: its sound and its first frames are of use before the last one is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import copy
from threading import Condition, Thread
from typing import TYPE_CHECKING

from seats.errors import SeatsError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from seats.media.clip import Audio, Clip


class Arriving:
    """The frames and the sound of a clip as they come, for threads that read and another that uses them."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._pixels: np.ndarray | None = None
        self._audio: Audio | None = None
        self._ready = self._attempt = 0
        self._over = False

    def begin(self, pixels: np.ndarray) -> None:
        """For the reader: frames will be filled into uint8 `[F, 3, H, W]`. A second call starts over."""
        with self._changed:
            self._pixels, self._ready = pixels, 0
            self._attempt += 1

    def reach(self, count: int) -> None:
        """For the reader: the first `count` frames are filled, and stay as they are."""
        with self._changed:
            self._ready = count
            self._changed.notify_all()

    def hear(self, audio: Audio) -> None:
        """For the reader: the sound, all of it."""
        with self._changed:
            self._audio = audio
            self._changed.notify_all()

    def end(self) -> None:
        """For the reader: no more will come, be it that all are there or that reading failed."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    @property
    def attempt(self) -> int:
        """Of the reader's `begin`s so far, the number of the last."""
        return self._attempt

    def parts(
        self, frames: Callable[[int, int], int], on_sound: Callable[[Audio], None] = lambda _: None
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """For the user: whole parts, in order, as soon as each is there; ends with the reading.

        frames: how many make a part, given height and width in pixels. on_sound: gets the sound once it is there and
        no part is waiting. Yields (attempt, uint8 `[frames, 3, H, W]`). When `attempt` changes, the parts before are
        void. What is left at the end makes no whole part.
        """
        import torch

        attempt = first = 0
        heard = False
        while True:
            with self._changed:
                if self._attempt != attempt:
                    attempt, first = self._attempt, 0
                part = None
                if self._pixels is not None:
                    last = first + frames(*self._pixels.shape[2:])
                    if self._ready >= last:
                        part = torch.from_numpy(self._pixels[first:last])
                audio = None if heard else self._audio
                if part is None and audio is None:
                    if self._over:
                        return
                    self._changed.wait()
                    continue
            if part is not None:
                first += len(part)
                yield attempt, part
            elif audio is not None:
                heard = True
                on_sound(audio)


class ReadingClip:
    """A clip that is read on a thread of its own, which ends with the process.

    arriving: what is there of it. seconds: what reading took, once `result` has returned. ended: when it did, on the
    clock of `time.perf_counter`.
    """

    def __init__(self, read: Callable[[Arriving], Clip]) -> None:
        self.arriving = Arriving()
        self.seconds = self.ended = 0.0
        self._clip: Clip | None = None
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, args=(read,), daemon=True, name="seats-decode")
        self._thread.start()

    def _run(self, read: Callable[[Arriving], Clip]) -> None:
        began = time.perf_counter()
        try:
            self._clip = read(self.arriving)
        except BaseException as error:  # told to whoever asks for the result
            self._error = error
        finally:
            self.ended = time.perf_counter()
            self.seconds = self.ended - began
            self.arriving.end()

    @property
    def done(self) -> bool:
        """Whether reading has ended, well or not."""
        return not self._thread.is_alive()

    def result(self) -> Clip:
        """Wait for the whole clip. Raises what reading it raised: MediaError, SettingsError."""
        self._thread.join()
        if isinstance(self._error, SeatsError):
            # The one that is kept would go on to keep all that those who ask have in hand.
            told = copy(self._error).with_traceback(self._error.__traceback__)
            raise told from self._error.__cause__
        if self._error is not None:
            raise self._error
        assert self._clip is not None
        return self._clip
