"""What a run takes of the machine, or of the container that it runs in."""

import os
import subprocess
import sys

import pytest

from pipeline.counting import resources
from pipeline.counting.resources import MIB, Resources, available_memory, processors

GIB = 1024 * MIB


@pytest.fixture
def machine(monkeypatch):
    """Has a machine of so many processors and so much memory."""

    def have(cores, memory):
        monkeypatch.setattr(resources, "processors", lambda: cores)
        monkeypatch.setattr(resources, "available_memory", lambda: int(memory))

    return have


def memory_of(taken):
    """The memory of a run, as `resources` reckons: the program, its workers, and all tables of totals."""
    worker = (120 if taken.are_processes else 80) * MIB
    return 288 * MIB + taken.threads * worker + (taken.threads + 2) * taken.totals_bytes


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("memory", [1, 2, 4, 16, 64, 256])
@pytest.mark.parametrize("are_processes", [False, True])
def test_a_run_stays_within_half_of_any_machine(machine, cores, memory, are_processes):
    machine(cores, memory * GIB)
    taken = Resources(are_processes=are_processes)
    assert memory_of(taken) <= memory * GIB / 2
    assert 1 <= taken.threads <= cores


@pytest.mark.parametrize(
    ("cores", "memory", "threads", "table"),
    [
        (1, 1, 1, 48),
        (2, 2, 2, 64),
        (2, 23, 2, 64),
        (4, 8, 4, 64),
        (8, 16, 8, 64),
        (16, 32, 16, 64),
        (64, 128, 64, 64),
        (64, 1, 2, 16),
    ],
)
def test_machines_as_they_are_get_all_processors_and_a_table_of_full_size(machine, cores, memory, threads, table):
    machine(cores, memory * GIB)
    assert (Resources().threads, Resources().totals_bytes // MIB) == (threads, table)


@pytest.mark.parametrize("memory", [416 * MIB, 512 * MIB, 700 * MIB, GIB, 10 * GIB])
def test_memory_that_is_named_is_the_sum(machine, memory):
    machine(16, 64 * GIB)
    assert memory_of(Resources(memory_bytes=memory)) <= memory
    in_processes = Resources(memory_bytes=memory, are_processes=True)
    assert memory_of(in_processes) <= memory or in_processes.threads == 1  # of which nobody makes processes


def test_workers_that_are_named_are_fewer_where_the_memory_is_too_little_for_them(machine):
    assert Resources(workers=16, memory_bytes=512 * MIB).threads == 2
    assert Resources(workers=16, memory_bytes=4096 * MIB).threads == 16
    machine(2, GIB / 2)
    assert Resources(workers=16).threads == 1


def test_workers_that_are_named_are_taken_where_there_is_memory(machine):
    machine(2, 2 * GIB)
    assert Resources(workers=5).threads == 5


def test_a_run_sees_the_processors_of_its_affinity_mask():
    code = "import os; os.sched_setaffinity(0, {0}); from pipeline.counting.resources import Resources; print(Resources().threads)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def container(folder, groups, **limits):
    """A file system as Linux has it in a control group: /proc/self/cgroup, and files below /sys/fs/cgroup."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(groups)
    for name, text in limits.items():
        path = folder / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder


#: The same limits, half a processor and 1 GiB, as the two versions of control groups write them, seen from the host, from
#: within a container, and set on a group above.
CONTAINERS = {
    "version 2": ("0::/\n", {"cpu.max": "50000 100000", "memory.max": f"{GIB}"}),
    "version 2, by its path": ("0::/user/job\n", {"user/job/cpu.max": "50000 100000", "user/job/memory.max": f"{GIB}"}),
    "version 2, a group above": (
        "0::/pod/job\n",
        {
            "pod/cpu.max": "50000 100000",
            "pod/job/cpu.max": "max 100000",
            "pod/memory.max": f"{GIB}",
            "pod/job/memory.max": "max",
        },
    ),
    "version 1": (
        "4:memory:/\n1:cpu,cpuacct:/\n",
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "50000",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": f"{GIB}",
        },
    ),
    "version 1, with the host's path": (
        "4:memory:/docker/4f2a\n1:cpu:/docker/4f2a\n",
        {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": f"{GIB}"},
    ),
}


@pytest.mark.parametrize(("groups", "limits"), CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_s_limits_count(tmp_path, groups, limits):
    system = container(tmp_path, groups, **limits)
    assert processors(system) == 1
    assert available_memory(system) == GIB


def test_a_part_of_a_processor_is_one_more(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert processors(container(tmp_path, "0::/\n", **{"cpu.max": "250000 100000"})) == 3


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("", {}),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}),
        ("1:cpu:/\n4:memory:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
        ("not a group\n0::/\n", {"cpu.max": "", "memory.max": "rubbish"}),
    ],
    ids=["no groups", "no limits, version 2", "no limits, version 1", "not understood"],
)
def test_without_a_limit_the_machine_s_own_count(tmp_path, groups, limits):
    system = container(tmp_path, groups, **limits)
    assert processors(system) == len(os.sched_getaffinity(0))
    assert available_memory(system) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
