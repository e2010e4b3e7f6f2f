"""How measurements end: what could not be measured, and errors that nobody foresaw."""

import pytest
import typer

from seats_cli.measuring import exit_for

DONE = {"label": "full", "error": None}
REFUSED = {"label": "seats 10%", "error": "out of memory"}
BROKEN = {"label": "seats 10%", "error": "unexpected RuntimeError: shapes", "traceback": "Traceback ...\n  in run"}


def test_a_setting_that_does_not_fit_is_no_failure(capsys):
    exit_for({"rows": [DONE, REFUSED]}, debug=False)
    assert capsys.readouterr() == ("", "")


def test_nothing_measured_is_one(capsys):
    with pytest.raises(typer.Exit):
        exit_for({"rows": [REFUSED]}, debug=False)
    assert capsys.readouterr().err == "error: nothing could be measured; seats 10%: out of memory\n"


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_that_nobody_foresaw_is_one_line_and_a_failure(capsys, debug):
    with pytest.raises(typer.Exit) as ended:
        exit_for({"rows": [DONE, BROKEN]}, debug)
    assert ended.value.exit_code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: seats 10%: unexpected RuntimeError: shapes" in err
    assert ("--debug" in err, "in run" in err) == (not debug, debug)
