"""The number of CPUs that a process may use: its affinity, the quotas of its cgroups, and Python's own setting."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioparcs import cpus
from aioparcs.cpus import usable_cpus

AVAILABLE = len(os.sched_getaffinity(0))
PROGRAM = "from aioparcs.cpus import usable_cpus; print(usable_cpus())"
V1 = Path("/sys/fs/cgroup/cpu")


def run(*arguments: str, **env: str) -> int:
    """Return how many CPUs a process of its own may use."""
    command = [sys.executable, *arguments, "-c", PROGRAM]
    return int(subprocess.check_output(command, env=os.environ | env, text=True))


def test_it_is_at_least_one_and_no_more_than_the_affinity() -> None:
    assert 1 <= usable_cpus() <= AVAILABLE


def test_the_affinity_counts() -> None:
    first = min(os.sched_getaffinity(0))
    assert int(subprocess.check_output(["taskset", "-c", str(first), sys.executable, "-c", PROGRAM])) == 1


def test_pythons_own_setting_is_the_number_where_python_has_one() -> None:
    assert run("-E", PYTHON_CPU_COUNT="77") <= AVAILABLE
    if sys.version_info < (3, 13):
        assert run(PYTHON_CPU_COUNT="77") <= AVAILABLE
    else:
        assert run(PYTHON_CPU_COUNT="77") == 77
        assert run("-X", "cpu_count=78", PYTHON_CPU_COUNT="77") == 78
        assert run("-X", "cpu_count=default", PYTHON_CPU_COUNT="77") <= AVAILABLE


# Quotas


@pytest.fixture
def v1_group() -> Iterator[Path]:
    """Yield a cgroup of version 1, below another one."""
    outer = V1 / f"aioparcs-tests-{os.getpid()}"
    inner = outer / "inner"
    try:
        inner.mkdir(parents=True)
    except OSError:
        pytest.skip("it needs root, and cgroups of version 1")
    try:
        yield inner
    finally:
        inner.rmdir()
        outer.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(AVAILABLE < 2, reason="it needs two CPUs")
def test_a_real_quota_of_version_1_counts_rounded_up(v1_group: Path) -> None:
    enter = f"import os; open({str(v1_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); "
    command = [sys.executable, "-c", enter + PROGRAM]
    assert int(subprocess.check_output(command)) == AVAILABLE
    (v1_group / "cpu.cfs_quota_us").write_text("110000")
    assert int(subprocess.check_output(command)) == 2
    (v1_group / "cpu.cfs_quota_us").write_text("30000")
    assert int(subprocess.check_output(command)) == 1
    (v1_group / "cpu.cfs_quota_us").write_text("-1")
    (v1_group.parent / "cpu.cfs_quota_us").write_text("100000")
    assert int(subprocess.check_output(command)) == 1


def quotas(folder: Path, groups: str, mounts: list[str], files: dict[str, str]) -> list[float]:
    """Return the quotas of a process with these cgroups, in a file system as of the kernel."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text("".join(f"{mount.replace('@', str(folder))}\n" for mount in mounts))
    return list(cpus._quotas(folder))


V2 = "30 23 0:26 / @/v2 rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


@pytest.mark.parametrize(
    "groups, mounts, files, expected",
    [
        ("0::/\n", [V2], {"v2/cgroup.procs": ""}, []),
        ("0::/\n", [V2], {"v2/cpu.max": "150000 100000\n"}, [1.5]),
        ("0::/a/b\n", [V2], {"v2/a/b/cpu.max": "max 100000\n", "v2/a/cpu.max": "50000 100000\n"}, [0.5]),
        ("0::/../other\n", [V2], {"v2/cpu.max": "max 100000\n"}, []),
        ("0::/\n", [], {}, []),
        (
            "4:memory:/x\n3:cpu,cpuacct:/docker/1\n0::/\n",
            ["31 30 0:27 /docker/1 @/v1 ro master:11 - cgroup cgroup rw,cpu,cpuacct", V2],
            {"v1/cpu.cfs_quota_us": "250000", "v1/cpu.cfs_period_us": "100000"},
            [2.5],
        ),
        (
            "3:cpuset:/\n2:cpu:/a\n",
            ["31 30 0:27 / @/cpuset rw - cgroup cgroup rw,cpuset", "32 30 0:28 / @/v1 rw - cgroup cgroup rw,cpu"],
            {"v1/a/cpu.cfs_quota_us": "-1", "v1/a/cpu.cfs_period_us": "100000"},
            [],
        ),
    ],
    ids=["v2-root", "v2", "v2-above", "v2-outside", "unmounted", "v1-container", "v1-unlimited"],
)
def test_the_quotas_of_a_cgroup(
    tmp_path: Path, groups: str, mounts: list[str], files: dict[str, str], expected: list[float]
) -> None:
    assert quotas(tmp_path, groups, mounts, files) == expected


def test_a_system_without_cgroups_has_no_quotas(tmp_path: Path) -> None:
    assert list(cpus._quotas(tmp_path)) == []
