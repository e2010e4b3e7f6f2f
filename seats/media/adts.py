"""Raw AAC (ADTS, ISO 13818-7) has no timestamps, and FFmpeg counts every frame at the first one's rate."""

from __future__ import annotations

from typing import Any

_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_HEADER_BYTES = 7
_BLOCK_SAMPLES = 1024


def unsaid_seconds(packet: Any) -> float:
    """Return how much longer a packet sounds than its duration says, seconds; below 0 if shorter.

    The header has the number of the sampling rate in bits 18 to 21 and, in its last two bits, how many blocks of 1024
    samples follow the first one.
    """
    head = bytes(memoryview(packet)[:_HEADER_BYTES])
    if len(head) < _HEADER_BYTES or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0.0
    rate = head[2] >> 2 & 0xF
    if rate >= len(_RATES):
        return 0.0
    return _BLOCK_SAMPLES * ((head[6] & 3) + 1) / _RATES[rate] - float((packet.duration or 0) * packet.time_base)
