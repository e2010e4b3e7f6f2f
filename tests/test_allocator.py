"""Whether the system has to find memory anew, counted as page faults in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")

PAGES = 3 * 24 * 2**20 // os.sysconf("SC_PAGE_SIZE")
ROUNDS = """
import resource

from seats.allocator import give_back_freed_memory, keep_freed_memory

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        blocks = [b"x" * size for size in 3 * [24 * 2**20]]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""


def printed(code: str, **env: str) -> list[int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS + code], env=clean | env, capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("how", ["", "without_limit=True"])
def test_freed_memory_is_used_again(how):
    first, again = printed(f"keep_freed_memory({how}); print(faults(1), faults(10))")
    assert first > 0.9 * PAGES
    assert again < 0.1 * PAGES


def test_by_itself_it_goes_back_each_time():
    """If this fails, glibc does by now what is asked of it here."""
    first, again = printed("print(faults(1), faults(10))")
    assert again > 5 * first


def test_what_the_environment_says_stays():
    assert printed("keep_freed_memory(); print(faults(10))", MALLOC_MMAP_THRESHOLD_="65536")[0] > 5 * PAGES


def test_what_is_given_back_is_gone():
    code = "keep_freed_memory(); faults(1); kept = faults(1); give_back_freed_memory(); print(kept, faults(1))"
    kept, gone = printed(code)
    assert kept < 0.1 * PAGES < 0.9 * PAGES < gone
