"""What a chat's /save writes to a Markdown file."""

from __future__ import annotations

from seats_cli.transcript import transcript


def test_names_are_no_markdown_and_answers_may_be() -> None:
    clip = {"path": "/clips/a_b_*c*<b>.mp4", "start_s": 0.0, "end_s": 6.0, "duration_s": 6.0, "video": None}
    answer = {
        "clip": {**clip, "audio": {"seconds": 6.0}},
        "model": {"name": "./my_fine_omni"},
        "question": "what is\nheard ?",
        "answer": "a **hum**",
        "retention": {"overall": 0.1},
        "method": {"name": "seats"},
    }
    blocks = transcript([answer]).split("\n\n")
    assert blocks[0] == "# a\\_b\\_\\*c\\*\\<b>.mp4"
    assert blocks[1].startswith("./my\\_fine\\_omni · ")
    assert blocks[2:] == ["> what is\n> heard ?", "a **hum**", "*seats, 10.0 % of the clip's tokens*\n"]
