"""What a process may use of its machine, where something says that it is not all."""

import os

import pytest

from seats import host
from seats.host import control_groups, cpu_quota, usable_cpus


def written(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system ties no process to CPUs")
def test_cpus_that_the_process_may_not_use_do_not_count(monkeypatch):
    monkeypatch.setattr(host, "cpu_quota", lambda: None)
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, all_of_them)
    assert usable_cpus() == len(all_of_them)


@pytest.mark.parametrize(("quota", "usable"), [(None, 4), (1, 1), (64, 4)])
def test_cpus_without_time_do_not_count(monkeypatch, quota, usable):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(host, "cpu_quota", lambda: quota)
    assert usable_cpus() == usable


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "max 100000"}, None),
        ({"sys/fs/cgroup/a/b/cpu.max": "200000 100000"}, 2),
        ({"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "150000 100000"}, 2),
        ({"sys/fs/cgroup/a/b/cpu.max": "400000 100000", "sys/fs/cgroup/cpu.max": "5000 100000"}, 1),
        ({"sys/fs/cgroup/a/b/cpu.max": "odd"}, None),
    ],
    ids=["no file", "no limit", "its own", "one around it", "in a container", "damaged"],
)
def test_the_least_that_a_group_allows_is_the_quota(tmp_path, files, quota):
    root = written(tmp_path, {"proc/self/cgroup": "0::/a/b", **files})
    assert cpu_quota(root) == quota


@pytest.mark.parametrize(("said", "quota"), [("-1", None), ("250000", 3)])
def test_the_quota_under_version_1(tmp_path, said, quota):
    groups = "4:memory:/m\n2:cpu,cpuacct:/c\n0::/"
    files = {"cpu.cfs_quota_us": said, "cpu.cfs_period_us": "100000"}
    root = written(tmp_path, {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/cpu/c/{n}": t for n, t in files.items()}})
    assert cpu_quota(root) == quota
    assert list(control_groups("memory", root))[:2] == [
        (1, root / "sys/fs/cgroup/memory/m"), (1, root / "sys/fs/cgroup/memory"),
    ]  # fmt: skip


def test_a_system_without_groups_limits_nothing(tmp_path):
    assert cpu_quota(tmp_path) is None
