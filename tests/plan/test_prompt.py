"""Text tokens of many questions."""

from __future__ import annotations

from tokenizers import Tokenizer

from seats.plan import prompt
from seats.plan.model import planned_model
from seats.plan.prompt import text_tokens


def test_the_tokenizer_is_read_once_for_all_questions(monkeypatch):
    """That of a published model takes half a second."""
    read, tokenizers = Tokenizer.from_file, []

    class Noted:
        @staticmethod
        def from_file(path):
            tokenizers.append(path)
            return read(path)

    monkeypatch.setattr("tokenizers.Tokenizer", Noted)
    prompt._counted.cache_clear()
    prompt._prompting.cache_clear()
    model = planned_model("seats-nano")
    counts = [text_tokens(model, "which " * words, None, True, True) for words in range(1, 5)]
    assert all(count.exact for count in counts)
    assert len(set(counts)) == 4
    assert len(tokenizers) == 1
