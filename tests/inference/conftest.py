"""What tests of answers share."""

import pytest

from tests.tiny import FAMILIES, tiny_thinker


@pytest.fixture(scope="module")
def thinkers():
    return {family: tiny_thinker(family) for family in FAMILIES}
