from seats_cli.text import one_line, short


def test_one_line_disarms_control_characters() -> None:
    assert one_line("a\nb\t c\x1b[31mred\x07") == "a b c\ufffd[31mred\ufffd"


def test_long_text_is_cut_to_what_there_is_room_for() -> None:
    assert short("a" * 80) == "a" * 80
    assert short("a" * 81) == "a" * 79 + "\u2026"
    assert short(b"caf\xc3\xa9", most=3) == "ca\u2026"
