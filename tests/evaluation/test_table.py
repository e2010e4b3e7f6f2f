from seats.evaluation.markdown import markdown
from seats.evaluation.table import LEVELS, main_table, notes, title, type_tables
from tests.evaluation.made import made

FOUND = made(
    {"full": "1110" * 5, "seats 10": "1100" * 5, "dycoke 10": "1u1u" * 5}, "abcd" * 5, "vvaa" * 5, ("fastv 10",)
)


def cells(found, level=0):
    return {column.title: column.cells for column in main_table(found, level)}


def test_a_row_for_each_setting_with_intervals_and_cost():
    said = cells(FOUND)
    assert said["method"] == ("full", "seats", "dycoke", "fastv")
    assert said["keep"] == ("", "10%", "10%", "10%")
    assert said["accuracy, %"][0].startswith("75.0 [")
    assert said["accuracy, %"][2].startswith("100.0* [")
    assert said["accuracy, %"][3] == "unreachable"
    assert said["against full"][:2] == ("", said["against full"][1])
    assert said["against full"][1].startswith("-25.0 [-")
    assert said["% of full"][1].startswith("66.7 [")
    assert said["LLM FLOPs"] == ("4.00 G (100%)", "800 M (20%)", "800 M (20%)", "")
    assert said["prefill, ms"][1] == "9.5"
    assert said["kept: video, audio"][1] == "20.0%, 20.0%"


def test_narrower_tables_leave_columns_out():
    widths = [
        sum(len(max(column.cells, key=len)) for column in main_table(FOUND, level)) for level in range(len(LEVELS))
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 60
    assert all("accuracy, %" in cells(FOUND, level) for level in range(len(LEVELS)))


def test_one_question_is_not_called_several():
    found = made({"full": "1"}, "a")
    assert title(found) == "a-model on made: 1 question about 1 clip"


def test_the_narrowest_table_has_room_on_a_terminal_of_40_columns():
    (method, keep, accuracy) = main_table(FOUND, len(LEVELS) - 1)
    assert accuracy.cells == ("75.0", "50.0", "100.0*", "unreachable")
    assert (method.title, keep.title) == ("method", "keep")


def test_without_full_nothing_is_compared():
    found = made({"seats 10": "10"}, "ab")
    assert not {"against full", "% of full"} & cells(found).keys()
    assert "Newcombe" not in " ".join(notes(found))


def test_notes_tell_what_is_missing_and_why():
    said = notes(FOUND)
    assert "fastv 10% unreachable: fastv 10 won't do" in said
    (partial,) = [line for line in said if line.startswith("*")]
    assert "all its figures are of 10 of 20 questions" in partial
    assert "cannot serve 2 clips (b: no)" in partial
    assert any("Newcombe" in line and "bootstrap" in line for line in said)
    assert "with 4 clips, intervals are too narrow" in said
    assert any("all 2 questions failed" in line for line in notes(made({"full": "ff"}, "ab")))
    assert "full: 1 question failed" in notes(made({"full": "f"}, "a"))
    assert "mine 10%: all 2 questions failed" in notes(made({"full": "11"}, "ab", broken=("mine 10",)))
    assert "random 10%: 2 questions failed" in notes(made({"full": "111", "random 10": "ffu"}, "abc"))
    assert any("; 1 failed" in line for line in notes(made({"full": "1f"}, "ab")))


def test_notes_speak_of_the_columns_that_are_shown_only():
    for level in range(len(LEVELS)):
        said, shown = "\n".join(notes(FOUND, level)), cells(FOUND, level)
        brackets = any("[" in cell for column in shown.values() for cell in column)
        assert ("in brackets" in said) == brackets
        assert ("LLM FLOPs: " in said) == ("LLM FLOPs" in shown)
        assert ("\nFLOPs: " in said) == ("FLOPs" in shown)
        assert ("prefill: selection + prefill, median" in said) == ("prefill, ms" in shown)


def test_few_clips_are_said_without_full_too():
    assert "with 2 clips, intervals are too narrow" in notes(made({"seats 10": "1011"}, "aabb"))
    assert not any("too narrow" in line for line in notes(made({"full": "10" * 20}, "abcdefghijklmnopqrst" * 2)))


def test_one_question_a_clip_leaves_only_the_bootstrap_too_narrow():
    assert "with 2 clips, intervals of % of full are too narrow" in notes(made({"full": "10", "seats 10": "11"}, "ab"))
    assert not any("too narrow" in line for line in notes(made({"seats 10": "11"}, "ab")))


def test_one_clip_is_said_plainly():
    said = "\n".join(notes(made({"full": "1011", "seats 10": "1010"}, "aaaa")))
    assert "all questions are about one clip" in said
    assert "allow for" not in said
    assert "bootstrap" not in said
    assert "one clip" not in "\n".join(notes(made({"full": "1"}, "a")))


def test_shares_of_full_without_an_interval():
    one_clip = made({"full": "1011", "seats 10": "1010"}, "aaaa")
    assert cells(one_clip)["% of full"] == ("", "66.7")
    assert cells(FOUND, 2)["% of full"][1] == "66.7"


def test_settings_with_one_reason_share_a_line():
    found = made({"full": "1", "dycoke 35": "u", "dycoke 10": "u"}, "a")
    assert "dycoke 35%, dycoke 10% unreachable: a: no" in notes(found)


def test_types_are_rows_and_wide_tables_are_cut():
    (whole,) = type_tables(FOUND)
    assert [column.title for column in whole] == ["type", "full", "seats 10%", "dycoke 10%*", "questions"]
    assert whole[0].cells == ("a", "v", "all")
    assert whole[1].cells == ("50.0", "100.0", "75.0")
    assert whole[-1].cells == ("10", "10", "20")
    assert [[column.title for column in table][1:-1] for table in type_tables(FOUND, 2)] == [
        ["full", "seats 10%"], ["dycoke 10%*"],
    ]  # fmt: skip


def test_markdown_is_a_github_table():
    text = markdown(FOUND, by_type=True)
    lines = text.splitlines()
    assert lines[0] == f"**{title(FOUND)}**"
    table = [line for line in lines if line.startswith("|")][:6]
    assert table[1].startswith("| --- | ---: |")
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "| fastv | 10% | unreachable |" in table[5]
    assert "100.0\\* \\[" in table[4]  # neither emphasis nor a link
    assert "| type | full |" in text
    assert "| type | full |" not in markdown(FOUND, by_type=False)
    assert {f"- {line}" for line in notes(made({"seats 10": "1011"}, "aabb"))} <= {
        *markdown(made({"seats 10": "1011"}, "aabb"), by_type=False).splitlines()
    }
