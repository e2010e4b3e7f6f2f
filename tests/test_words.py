import pytest

from seats.words import counted


@pytest.mark.parametrize(("count", "said"), [(0, "0 clips"), (1, "1 clip"), (2, "2 clips"), (12345, "12,345 clips")])
def test_counted(count, said):
    assert counted(count, "clip") == said
