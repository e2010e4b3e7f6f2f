from seats_cli.text import one_line


def test_one_line_disarms_control_characters() -> None:
    assert one_line("a\nb\t c\x1b[31mred\x07") == "a b c\ufffd[31mred\ufffd"
