import gc
from collections.abc import Iterator

import pytest

from seats.imports import lasting_imports


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_what_is_made_within_is_left_out_of_the_search_for_garbage() -> None:
    with lasting_imports():
        assert not gc.isenabled()
        lasting = [[]]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert not any(one is lasting for one in gc.get_objects())


def test_a_search_that_was_off_stays_off() -> None:
    gc.disable()
    with lasting_imports():
        pass
    assert not gc.isenabled()


def test_an_import_that_fails_does_not_leave_the_search_off() -> None:
    with pytest.raises(ImportError), lasting_imports():
        import seats.no_such_module  # noqa: F401
    assert gc.isenabled()
