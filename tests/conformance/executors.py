"""What every executor promises: sources counted over it add what they add one by one in this process."""

import gzip
from collections import Counter
from concurrent.futures import Executor, Future

import pytest

from pipeline.counting.count import Limits, count_group
from pipeline.counting.pool import Pool
from pipeline.counting.sources import Source
from pipeline.errors import EmptySource, StrictRunStopped, UnknownFormat, UsageError
from pipeline.options import ReadOptions

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
AWS = "version srcaddr dstaddr srcport dstport bytes start action log-status\n"


class Inline(Executor):
    """Runs each call at once, in the thread that submits it."""

    def submit(self, function, /, *arguments, **options):
        future = Future()
        try:
            future.set_result(function(*arguments, **options))
        except Exception as error:  # noqa: BLE001 - the future has it
            future.set_exception(error)
        return future


class Told:
    def __init__(self):
        self.told = Counter()

    def start(self, total_bytes):
        pass

    def advance(self, raw_bytes, rows):
        self.told.update(bytes=raw_bytes, rows=rows)


class ExecutorClaims:
    """The claims. A subclass gives the fixture `executor`: two workers."""

    @pytest.fixture
    def sources(self, tmp_path):
        raw = tmp_path / "raw"
        raw.mkdir()
        for number in range(6):
            rows = [f"{number + hour},a,b{hour},v,{number},1\n" for hour in range(1, 5)] + ["0,a,b,v,1,1\n"] * number
            (raw / f"{number}.csv").write_text(HEADER + "".join(rows))
        (raw / "6.log").write_text(AWS + "2 10.0.0.1 10.0.0.2 40000 443 7 1440003600 ACCEPT OK\n")
        (raw / "7.log.gz").write_bytes(gzip.compress((AWS + "2 a 10.0.0.2 1 443 7 1440003600 REJECT OK\n").encode())[:-3])
        (raw / "8.log").write_text("no flow log\n")
        (raw / "9.csv").write_text("")
        big = "".join(f"{hour % 9 + 1},a,b{hour % 7},v,{hour % 11 - 1},1\n" for hour in range(20_000))
        (raw / "big.csv").write_text(HEADER + big)
        return [Source.at(path) for path in sorted(raw.iterdir())]

    def pool(self, executor, folder, progress=None, **limits):
        return Pool(executor, 2, Limits(1 << 16, **limits), folder, progress)

    def test_the_totals_the_counts_and_the_rejects_are_those_of_one_by_one(self, executor, sources, tmp_path):
        alone = [count_group([source], ReadOptions(), Limits(1 << 30), str(tmp_path)) for source in sources]
        counted = self.pool(executor, tmp_path).count(sources, ReadOptions())
        assert list(map(plain, counted.results)) == [plain(result) for group in alone for result in group.results]
        assert rejects_of(counted) == [row for group in alone for row in rejects_of(group)]
        for group in alone[1:]:
            alone[0].totals.merge(group.totals)
        assert totals_of(counted) == totals_of(alone[0])

    def test_groups_come_as_they_are_done_each_with_its_place(self, executor, sources, tmp_path):
        groups = [[source] for source in sources]
        found = dict(self.pool(executor, tmp_path).count_each(groups, ReadOptions()))
        assert sorted(found) == list(range(len(sources)))
        assert all(plain(found[i].results[0]) == plain(alone(source, tmp_path)) for i, source in enumerate(sources))

    def test_errors_keep_their_kind(self, executor, sources, tmp_path):
        results = self.pool(executor, tmp_path).count(sources, ReadOptions()).results
        assert isinstance(results[8], UnknownFormat)
        assert isinstance(results[9], EmptySource)

    def test_all_bytes_and_rows_of_what_was_counted_are_told(self, executor, sources, tmp_path):
        progress, good = Told(), sources[:7] + sources[10:]
        counted = self.pool(executor, tmp_path, progress).count(good, ReadOptions())
        assert progress.told == {"bytes": sum(source.size for source in good), "rows": counted.read}

    def test_what_ends_the_counting_is_raised(self, executor, sources, tmp_path):
        with pytest.raises(StrictRunStopped, match=r"1\.csv"):
            self.pool(executor, tmp_path, strict=True).count(sources[:2], ReadOptions())
        with pytest.raises(UsageError, match="mapping file"):
            self.pool(executor, tmp_path).count(sources, ReadOptions(apps=tmp_path / "none.csv"))

    def test_a_caller_who_stops_early_leaves_nothing_running(self, executor, sources, tmp_path):
        groups = self.pool(executor, tmp_path).count_each(([source] for source in sources * 20), ReadOptions())
        next(groups)
        groups.close()
        assert executor.submit(len, sources).result() == len(sources)


def alone(source, folder):
    (result,) = count_group([source], ReadOptions(), Limits(1 << 30), str(folder)).results
    return result


def plain(result):
    """A result in a form in which equal ones are equal: errors by their text."""
    return str(result) if isinstance(result, Exception) else result


def rejects_of(group):
    return [row for batch in group.rejects.batches() for row in batch.to_pylist()]


def totals_of(group):
    return {hour: read().to_pylist() for hour, read in group.totals.by_hour()}
