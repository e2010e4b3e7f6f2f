# ruff: noqa: RUF001  (a multiplication sign is meant)
from __future__ import annotations

import pytest

from seats.units import clock, counted, duration, flops, milliseconds, percent, seconds, size, times


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (milliseconds(0.26), "0.3 ms"),
        (milliseconds(10), "10 ms"),
        (milliseconds(340), "340 ms"),
        (milliseconds(999.4), "999 ms"),
        (milliseconds(999.6), "1.00 s"),
        (milliseconds(1240), "1.24 s"),
        (milliseconds(12_340), "12.3 s"),
        (milliseconds(59_960), "1 min 00 s"),
        (milliseconds(125_000), "2 min 05 s"),
        (seconds(8), "8.0 s"),
        (seconds(59.96), "1:00.0"),
        (seconds(754.5), "12:34.5"),
        (seconds(3723.4), "1:02:03.4"),
        (seconds(7199.99), "2:00:00.0"),
        (clock(40), "0:40"),
        (clock(754), "12:34"),
        (clock(3723), "1:02:03"),
        (duration(0.4), "0 s"),
        (duration(59.4), "59 s"),
        (duration(59.6), "1 min"),
        (duration(3540), "59 min"),
        (duration(3595), "1 h 00 min"),
        (duration(12_000), "3 h 20 min"),
        (duration(2 * 86_400 - 60), "47 h 59 min"),
        (duration(52 * 3600 + 600), "2 d 4 h"),
        (flops(222e12, "FLOPs"), "222 TFLOPs"),
        (flops(1.234e12), "1.23 T"),
        (flops(24.44e9), "24.4 G"),
        (flops(999.96e9), "1.00 T"),
        (flops(2.5e18), "2.50 E"),
        (flops(0), "0"),
        (flops(0, "FLOPs"), "0 FLOPs"),
        (times(8.634), "8.63×"),
        (times(0.0123), "0.012×"),
        (size(2**40), "1.00 TiB"),
        (size(2**30 - 1), "1.00 GiB"),
        (size(1023.4 * 2**20), "1,023 MiB"),
        (size(1023), "1023 B"),
        (size(1.5 * 2**30), "1.50 GiB"),
        (size(2**20), "1.00 MiB"),
        (size(2**10), "1.00 KiB"),
        (size(12), "12 B"),
        (percent(0.0049), "0.49 %"),
        (percent(0.349), "34.9 %"),
        (percent(0), "0.0 %"),
        (counted(0, "clip"), "0 clips"),
        (counted(1, "clip"), "1 clip"),
        (counted(12345, "clip"), "12,345 clips"),
    ],
)
def test_numbers(shown: str, text: str) -> None:
    assert shown == text
