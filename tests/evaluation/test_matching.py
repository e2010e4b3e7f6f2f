import pytest

from seats.evaluation.matching import lists_options, named_option, same_answer, with_options

OPTIONS = ("red ring", "a blue bus", "cat", "5")


def test_options_are_added_as_lettered_lines():
    assert with_options("What is it?", ("cat", "dog")) == "What is it?\nA. cat\nB. dog\nAnswer with the letter."


@pytest.mark.parametrize(
    "question",
    [
        "What?\nA. cat\nB. dog",
        "What?\nA) Cat\nB) dog\nAnswer with one letter.",
        "What?\n(A) cat\n(B) dog",
        "a: cat\nB: dog",
    ],
)
def test_a_question_that_lists_its_options_is_asked_as_it_stands(question):
    assert lists_options(question, ("cat", "dog"))
    assert with_options(question, ("cat", "dog")) == question


@pytest.mark.parametrize("question", ["What?\nA. dog\nB. cat", "Is it a cat or a dog?", "What?\nA. cat"])
def test_a_question_that_lists_others_gets_its_own(question):
    assert with_options(question, ("cat", "dog")).startswith(question + "\nA. cat\nB. dog\n")


def test_a_question_without_options_is_asked_as_it_stands():
    assert with_options("What?\nA. cat", ()) == "What?\nA. cat"


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ("b", 1),
        ("B.", 1),
        ("(b)", 1),
        (" **B** ", 1),
        ("B) a blue bus", 1),
        ("B: it has wheels", 1),
        ("B a blue bus", 1),
        ("B\nbecause of the wheels", 1),
        ("A blue bus.", 1),  # the option's text, not the letter A
        ("a red ring", 0),  # letter and text, or an article: the same
        ("Cat", 2),
        ("5", 3),
        ("D", 3),
        ("E", None),
        ("dog", None),
        ("bus", None),
        ("A red bus", None),
        ("", None),
    ],
)
def test_which_option_an_answer_names(given, index):
    assert named_option(given, OPTIONS) == index


def test_a_lone_letter_is_the_letter_whatever_the_options_say():
    assert named_option("B", ("B", "A")) == 1


@pytest.mark.parametrize(
    ("given", "right", "same"),
    [
        ("Red circle.", "red circle", True),
        ("red  circle", "red circle", True),
        ("ｒｅｄ", "Red", True),  # noqa: RUF001  (full-width letters)
        ("B.", "b", True),
        ("+", "+", True),
        ("+", "-", False),
        ("red", "red circle", False),
        ("circle red", "red circle", False),
        ("", "red", False),
    ],
)
def test_answers_are_compared_by_their_words(given, right, same):
    assert same_answer(given, right) is same
