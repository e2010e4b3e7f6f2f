"""How measurements end: what could not be measured, and errors that nobody foresaw."""

import io

import pytest
import typer
from rich.console import Console

from seats_cli.measuring import ComparedOptions, exit_for, kept, telling
from seats_cli.options import OutputOptions
from seats_cli.output import Output

FULL = {"label": "full", "method": "full", "error": None}
DONE = {"label": "random 10%", "method": "random", "error": None}
REFUSED = {"label": "seats 10%", "method": "seats", "error": "out of memory"}
BROKEN = {
    "label": "seats 10%",
    "method": "seats",
    "error": "unexpected RuntimeError: shapes",
    "traceback": "Traceback ...\n  in run",
}


def test_a_setting_that_does_not_fit_is_no_failure(capsys):
    exit_for({"rows": [FULL, DONE, REFUSED]}, debug=False)
    exit_for({"rows": [{**FULL, "error": "out of memory"}, DONE]}, debug=False)
    exit_for({"rows": [FULL]}, debug=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([REFUSED], "nothing"),
        ([FULL, REFUSED, REFUSED], "nothing but full tokens"),
        ([FULL, {**FULL, "method": "stock"}, REFUSED], "nothing but full tokens"),
    ],
)
def test_nothing_measured_that_was_asked_for_is_one(capsys, rows, what):
    with pytest.raises(typer.Exit) as ended:
        exit_for({"rows": rows}, debug=False)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == f"error: {what} could be measured; seats 10%: out of memory\n"


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_that_nobody_foresaw_is_one_line_and_a_failure(capsys, debug):
    with pytest.raises(typer.Exit) as ended:
        exit_for({"rows": [DONE, BROKEN]}, debug)
    assert ended.value.exit_code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: seats 10%: unexpected RuntimeError: shapes" in err
    assert ("--debug" in err, "in run" in err) == (not debug, debug)


def test_each_modality_has_the_share_that_was_asked_for_it():
    (setting,) = ComparedOptions(keep_video=6.0, keep_audio=35.0).settings
    assert (setting.keep_video, setting.keep_audio) == (0.06, 0.35)
    assert kept({"video": 0.06, "audio": 0.35}) == ["6 % of video", "35 % of audio"]
    assert kept({"video": None, "audio": 0.35}) == ["35 % of audio"]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_being_done_is_a_line_only_away_from_a_terminal(terminal):
    written, output = io.StringIO(), Output(OutputOptions(verbose=True))
    output.__dict__["console"] = Console(file=written, force_terminal=terminal, width=80, color_system=None)
    telling(output)("round 1 of 3")
    assert ("round 1 of 3\n" in written.getvalue()) != terminal
