"""Where a run's files are read: in threads, or in processes where these pay."""

import pytest

from pipeline.counting.objects import ObjectSource
from pipeline.counting.resources import Resources
from pipeline.counting.sources import Source
from pipeline.jobs.where import processes_pay, threads_for

GIB = 1 << 30


def files(count, size, name="flows.csv"):
    return [Source(f"/raw/{number}-{name}", size, 0) for number in range(count)]


@pytest.mark.parametrize(
    ("sources", "workers", "pay"),
    [
        (files(8, GIB), 2, True),
        (files(7, GIB), 2, False),
        (files(32, GIB // 32), 16, True),
        (files(31, GIB // 32), 16, False),
        (files(64, GIB), 1, False),
        (files(1, 64 * GIB), 16, False),  # a file is not cut
        (files(2, 2 * GIB), 16, False),  # two files keep two workers busy
        (files(1_000, 1 << 12), 2, True),  # small files
        (files(1_000, 1 << 12), 16, True),
        (files(999, 1 << 12), 16, False),
        (files(1_000, 1 << 12), 1, False),
        (files(128, 1 << 20, "flows.log.gz"), 16, True),
        (files(127, 1 << 20, "flows.log.gz"), 16, False),
        ([], 16, False),
    ],
)
def test_processes_pay_where_there_is_enough_to_do_for_as_many(sources, workers, pay):
    assert processes_pay(sources, workers) is pay


def test_objects_are_read_by_threads_whose_connections_are_open():
    sources = [*files(64, GIB), ObjectSource("s3://b/a", GIB, 0, etag="e")]
    assert not processes_pay(sources, 16)


@pytest.mark.parametrize(
    ("sources", "threads"),
    [
        (files(100, 1 << 12), 1),
        (files(100, (1 << 17) - 1), 1),
        (files(100, 1 << 17), 4),
        (files(100, (1 << 14) - 1, "flows.csv.gz"), 1),
        (files(100, 1 << 14, "flows.csv.gz"), 4),
        ([*files(100, 1 << 12), *files(1, GIB, "large.csv")], 4),
        ([ObjectSource("s3://b/a", 1 << 12, 0, etag="e")] * 100, 4),  # whose bytes are waited for
        ([], 4),
    ],
)
def test_files_that_are_mostly_python_are_read_by_one_thread(sources, threads):
    assert threads_for(sources, Resources(workers=4)) == threads
