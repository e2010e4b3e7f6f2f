import time

import pytest

from seats.evaluation.matching import answers_with, lists_options, named_option, same_answer, with_options

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
        # With its reason, or said to be the answer
        ("B, because it has wheels", 1),
        ("B; the wheels are seen", 1),
        ('"B", because it has wheels', 1),
        ("**B**, because it has wheels", 1),
        ("B - it has wheels", 1),
        ("(B), as it has wheels", 1),
        ("B, a blue bus", 1),
        ("B, because A is red", 1),
        ("b, I think", 1),
        ("The answer is B.", 1),
        ("the correct answer is (b) a blue bus", 1),
        ("Answer: B", 1),
        ("**Answer:** B", 1),
        ("Answer: **B**, because it has wheels", 1),
        ("Final answer: B", 1),
        ("The answer is a blue bus.", 1),
        ("B because it has wheels", 1),
        ("The answer is B because it has wheels.", 1),
        ("It has wheels. The answer is B.", 1),
        ("It has wheels.\nAnswer: B", 1),
        ("B. The answer is B.", 1),
        ("The answer is cat. It has fur.", 2),
        # Not said plainly
        ("not B", None),
        ("B, or A", None),
        ("Not B.", None),
        ("The answer is not B.", None),
        ("I doubt that the answer is B", None),
        ("A, B", None),
        ("A, B and C", None),
        ("B or C", None),
        ("B, or C", None),
        ("B. C.", None),
        ("A/B", None),
        ("A.B", None),
        ("A. red ring\nB. a blue bus\nC. cat", None),
        ("The answer is B or C", None),
        ("The answer is A, B", None),
        ("The answer is B. The answer is C.", None),
        ("B. The answer is C.", None),
        # The letter of one with the text of another
        ("B) cat", None),
        ("B, cat.", None),
        ("The answer is B. Cat.", None),
        ("Answer: (B) cat", None),
        ("B\ncat", None),
        ("B) cat-like", 1),
        ("The answer is a dog.", None),
        ("a.m. or so", None),
        ("bus, because it has wheels", None),
        ("A blue bus, because it has wheels", None),
    ],
)
def test_which_option_an_answer_names(given, index):
    assert named_option(given, OPTIONS) == index


def test_a_lone_letter_is_the_letter_whatever_the_options_say():
    assert named_option("B", ("B", "A")) == 1


@pytest.mark.parametrize("between", ["\n", " \n", "\n*"])
def test_an_answer_that_goes_on_and_on_is_judged_at_once(between):
    began = time.perf_counter()
    given = "B" + between * 20_000 + "x"
    assert not answers_with(given, "yes")
    assert named_option(given, ("yes", "no")) in (1, None)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("given", "right", "same"),
    [
        ("Red circle.", "red circle", True),
        ("red  circle", "red circle", True),
        ("ｒｅｄ", "Red", True),  # noqa: RUF001  (full-width letters)
        ("B.", "b", True),
        ("+", "+", True),
        ("+", "-", False),
        ("-5", "5", False),
        ("\N{MINUS SIGN}5 degrees.", "-5 degrees", True),
        ("1-5", "1 5", True),
        ("--5", "5", True),
        ("red", "red circle", False),
        ("circle red", "red circle", False),
        ("", "red", False),
    ],
)
def test_answers_are_compared_by_their_words(given, right, same):
    assert same_answer(given, right) is same


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ("Yes, it does.", 0),
        ("No. It is red.", 1),
        ("B, no", 1),
        ("Yes and no", None),
        ("yes, no", None),
        ("Nobody", None),
    ],
)
def test_options_of_yes_and_no_may_go_on(given, index):
    assert named_option(given, ("yes", "no")) == index


@pytest.mark.parametrize(
    ("given", "right", "said"),
    [
        ("yes, it does", "yes", True),
        ("Yes. It does.", "Yes", True),
        ("No - it is red", "no", True),
        ("no\nit is red", "no", True),
        ("The answer is yes, as it moves.", "yes", True),
        ("yes, it does", "no", False),
        ("yes, no", "yes", False),
        ("yes and no", "yes", False),
        ("no one, it seems", "no", False),
        ("not yes", "yes", False),
        ("red, it seems", "red", False),
        ("The answer is red circle.", "red circle", True),
        ("Answer: red", "Red", True),
        ("Answer: a red one", "red", False),
        ("The answer is not red", "red", False),
        ("The answer is red. The answer is blue.", "red", False),
        ("D, because it comes last", "d", True),
        ("The answer is D.", "d", True),
        ("D, C", "d", False),
        ("d", "d", True),
        ("the answer is", "the answer is", True),
    ],
)
def test_free_answers(given, right, said):
    assert answers_with(given, right) is said
