import json

from seats.evaluation.document import document
from tests.evaluation.made import made


def test_it_is_plain_json_and_says_what_was_found():
    found = made({"full": "1110", "seats 10": "1100", "dycoke 10": "1u1u"}, "abab", "vvaa", unreachable=("fastv 10",))
    said = json.loads(json.dumps(document(found), allow_nan=False))

    assert said["schema"] == "seats.eval/1"
    assert (said["benchmark"], said["model"], said["questions"], said["clips"]) == ("made", "a-model", 4, 2)
    assert "Newcombe" in said["intervals_95"]["difference"]
    full, seats, dycoke, fastv = said["results"]
    assert [r["status"] for r in said["results"]] == ["answered", "answered", "partial", "unreachable"]
    assert (full["method"], full["keep_percent"], full["versus_full"]) == ("full", None, None)
    assert full["accuracy"]["all"]["share"] == 0.75
    low, high = seats["accuracy"]["all"]["interval_95"]
    assert low < 0.5 < high
    assert seats["versus_full"]["difference"] == -0.25
    assert seats["versus_full"]["share_of_full"] == 2 / 3
    assert seats["versus_full"]["questions"] == 4
    assert dycoke["questions"] == {"asked": 4, "answered": 2, "unreachable": 2, "failed": 0}
    assert dycoke["unreachable_clips"] == 1
    assert dycoke["versus_full"]["full_accuracy"]["total"] == 2
    assert (fastv["reason"], fastv["accuracy"], fastv["llm_flops_median"]) == ("fastv 10 won't do", {}, None)
    assert "wrong" not in full


def test_wrong_answers_are_listed_on_demand():
    said = document(made({"full": "10"}, "ab"), list_wrong=True)
    assert said["results"][0]["wrong"] == [
        {"id": "1", "clip": "b.mp4", "question": "question 1 ?", "answer": "red", "given": "blue"}
    ]
