import pytest

from seats_cli.text import flops, milliseconds, one_line, seconds, size, times


@pytest.mark.parametrize(
    ("ms", "text"),
    [(3.74, "3.7 ms"), (340, "340 ms"), (999.4, "999 ms"), (999.6, "1.00 s"), (1240, "1.24 s"), (12_340, "12.3 s"),
     (59_960, "1 min 00 s"), (125_000, "2 min 05 s")],
)  # fmt: skip
def test_milliseconds(ms: float, text: str) -> None:
    assert milliseconds(ms) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(8, "8.0 s"), (59.96, "1:00.0"), (754.5, "12:34.5"), (3723.4, "1:02:03.4"), (7199.99, "2:00:00.0")],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (222e12, "222 TFLOPs"),
        (1.234e12, "1.23 TFLOPs"),
        (24.44e9, "24.4 GFLOPs"),
        (999.9e6, "1.00 GFLOPs"),
        (0, "0 FLOPs"),
    ],
)
def test_flops(value: float, text: str) -> None:
    assert flops(value) == text


def test_other_numbers() -> None:
    assert times(8.634) == "8.63\N{MULTIPLICATION SIGN}"
    assert size(1.5 * 2**30) == "1.50 GiB"
    assert size(12) == "12 B"


def test_one_line_disarms_control_characters() -> None:
    assert one_line("a\nb\t c\x1b[31mred\x07") == "a b c\ufffd[31mred\ufffd"
