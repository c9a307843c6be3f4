"""The benchmark's own checks must be able to fail, and its numbers must be those of the process that it started."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import race
from benchmarks.check import difference
from benchmarks.inputs import ROOT, Inputs, program
from benchmarks.measure import RunFailed, run
from benchmarks.queries import check_answers
from benchmarks.race import Typical
from benchmarks.scale.simulation import Load, Machines, simulate
from benchmarks.scale.terms import MIB, Terms

TOTALS = [("web", "cart", "vpc-0", 100, 300), ("web", "cart", "vpc-1", 1, 2)]
MEGABYTE = 1 << 20


def write(folder: Path, rows: list[tuple[str, str, str, int, int]], hour: int = 7) -> Path:
    names = ["src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx"]
    partition = folder / f"hour={hour}"
    partition.mkdir(parents=True)
    pq.write_table(pa.table([list(column) for column in zip(*rows, strict=True)], names=names), partition / "part-0.parquet")
    return folder


class TestCheck:
    def test_equal_totals_are_equal_in_any_order(self, tmp_path: Path) -> None:
        assert difference(write(tmp_path / "ours", TOTALS), write(tmp_path / "theirs", TOTALS[::-1])) is None

    @pytest.mark.parametrize(
        ("theirs", "hour"),
        [
            ([("web", "cart", "vpc-0", 101, 300), TOTALS[1]], 7),  # a sum
            ([("web", "cart", "vpc-0", 100, 301), TOTALS[1]], 7),  # the other sum
            ([("web", "cart", "vpc-2", 100, 300), TOTALS[1]], 7),  # a key
            (TOTALS, 8),  # the hour
            (TOTALS[:1], 7),  # a row too few
            ([*TOTALS, TOTALS[1]], 7),  # a row twice
        ],
    )
    def test_any_difference_is_found(self, tmp_path: Path, theirs: list[tuple[str, str, str, int, int]], hour: int) -> None:
        ours = write(tmp_path / "ours", TOTALS)
        assert "only" in (difference(ours, write(tmp_path / "theirs", theirs, hour)) or "")

    def test_that_nobody_has_totals_is_no_proof(self, tmp_path: Path) -> None:
        empty = [write(tmp_path / name, TOTALS) for name in ("ours", "theirs")]
        for folder in empty:
            table = pq.read_table(folder / "hour=7" / "part-0.parquet")
            pq.write_table(table.slice(0, 0), folder / "hour=7" / "part-0.parquet")
        assert difference(*empty) == "there are no totals"

    def test_a_difference_ends_the_benchmark(self, tmp_path: Path) -> None:
        ours, theirs = write(tmp_path / "ours", TOTALS), write(tmp_path / "theirs", TOTALS[:1])
        with pytest.raises(RunFailed, match="is in ours only"):
            program("-m", "benchmarks.check", str(ours), str(theirs))

    def test_another_answer_ends_the_benchmark(self, tmp_path: Path) -> None:
        for name, answer in (("flowlog", '"hour"\n7\n'), ("duckdb", "hour\n7\n"), ("polars", "hour\n8\n")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "stdout").write_text(answer)
        with pytest.raises(RunFailed, match="flowlog and polars answer differently"):
            check_answers({name: tmp_path / name for name in ("flowlog", "duckdb", "polars")})


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs Linux")
class TestMeasure:
    def test_the_peak_is_that_of_the_process_and_not_of_the_one_that_started_it(self, tmp_path: Path) -> None:
        # By way of a small process, as the benchmark itself is: this one has Arrow and pytest in it.
        code = f"from benchmarks.measure import run; from pathlib import Path; print(run({self.command('pass')}, Path('.')).peak)"
        peak = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(peak.stdout) < 40 * MEGABYTE

    def test_memory_and_processor_time_are_seen(self, tmp_path: Path) -> None:
        cost = run(self.command("b = bytearray(300 << 20); sum(range(3_000_000))"), tmp_path)
        assert cost.peak > 300 * MEGABYTE
        assert cost.cpu > 0.02
        assert cost.wall > 0.02

    def test_the_memory_of_children_is_added(self, tmp_path: Path) -> None:
        child = "import time; b = bytearray(200 << 20); time.sleep(0.8)"
        parent = f"import subprocess, sys; b = bytearray(200 << 20); subprocess.run([sys.executable, '-c', {child!r}])"
        assert run(self.command(parent), tmp_path).peak > 400 * MEGABYTE

    def test_what_a_program_leaves_running_is_waited_for_and_nothing_else(self, tmp_path: Path) -> None:
        left = "import time; time.sleep(2); sum(range(20_000_000))"
        parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {left!r}])"
        with subprocess.Popen(["sleep", "600"]) as other:
            cost = run(self.command(parent), tmp_path)
            assert other.poll() is None
            other.kill()
        assert cost.wall < 2
        assert cost.cpu > 0.15

    def test_a_program_that_fails_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(RunFailed, match=r"ended with 3:\s+no such luck"):
            run(self.command("import sys; print('no such luck', file=sys.stderr); sys.exit(3)"), tmp_path)

    @staticmethod
    def command(code: str) -> list[str]:
        return [sys.executable, "-c", code]


class TestInputs:
    def test_what_was_made_is_kept_until_it_is_made_otherwise(self, tmp_path: Path) -> None:
        inputs = Inputs(tmp_path, scale=1, seed=7)
        made: list[str] = []
        for recipe in ("one", "one", "other"):
            inputs.made("W9", recipe, lambda _new, recipe=recipe: made.append(recipe))
        assert made == ["one", "other"]

    def test_what_was_cut_off_is_made_again(self, tmp_path: Path) -> None:
        def fail(new: Path) -> None:
            (new / "half").touch()
            raise RunFailed

        inputs = Inputs(tmp_path, scale=1, seed=7)
        with pytest.raises(RunFailed):
            inputs.made("W9", "recipe", fail)
        folder = inputs.made("W9", "recipe", lambda new: (new / "whole").touch())
        assert {path.name for path in folder.iterdir()} == {"whole", "recipe"}


def test_targets_compare_the_medians_with_the_best_peer() -> None:
    results = {"flowlog": Typical(2, 0, 50), "duckdb": Typical(3, 0, 100), "polars": Typical(4, 0, 80)}
    assert race.speed(1).measured(results) == 1.5
    assert race.speed(1.5).is_met(results)
    assert not race.speed(1.6).is_met(results)
    assert race.memory(0.5).measured(results) == 50 / 80
    assert not race.memory(0.5).is_met(results)
    assert race.no_slower("duckdb", "flowlog", within=0.5).is_met(results)
    assert not race.no_slower("duckdb", "flowlog", within=0.4).is_met(results)


def test_a_row_costs_what_four_times_as_many_take_more() -> None:
    walls = {"flowlog": 2, "duckdb": 1, "polars": 2, "flowlog x4": 5, "duckdb x4": 7, "polars x4": 14}
    results = {name: Typical(wall, 0, 0) for name, wall in walls.items()}
    assert race.marginal(2).measured(results) == 2  # 1 s each further time, and DuckDB 2 s
    assert race.speed(1).measured(results) == 0.5
    assert race.speed(1, race.FOURFOLD).measured(results) == 7 / 5


def test_copies_are_files_of_their_own_with_the_same_content(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text("a")
    (tmp_path / "raw.apps.csv").write_text("apps")
    copied = Inputs(tmp_path, scale=1, seed=7).copies(tmp_path / "raw", 2)
    assert {path.name: path.read_text() for path in copied.iterdir()} == {"0-a.csv": "a", "1-a.csv": "a"}
    assert len({path.stat().st_ino for path in copied.iterdir()}) == 2
    assert copied.with_name("raw.apps.csv").read_text() == "apps"


def test_the_runner_loads_nothing_heavy() -> None:
    code = "import sys, benchmarks.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "pyarrow", "duckdb", "polars", "chdb"} & set(done.stdout.split())


class TestScale:
    TERMS = Terms(0.05, 5e-5, {"aws": 0.02}, {"aws": 40_000}, 0, 0, 90, 1e-4, 1e-7, 1e-3, 1e-6, 3e-4)

    def test_without_anything_in_the_way_the_work_is_shared_by_all(self) -> None:
        load = Load(100_000 * MIB, file_bytes=8 * MIB)
        for workers in (1, 4, 16):
            took = simulate(load, Machines(workers, slow=0, spread=0, stuck=0, network=1e15, shared=1e15), self.TERMS)
            assert took.count == pytest.approx(100_000 * 0.02 / workers, rel=0.1)

    def test_what_all_read_from_bounds_them_together(self) -> None:
        load = Load(100_000 * MIB, file_bytes=8 * MIB)
        took = simulate(load, Machines(100, slow=0, spread=0, stuck=0, shared=1000 * MIB), self.TERMS)
        assert took.count >= 100

    def test_larger_groups_leave_less_to_merge(self) -> None:
        load = Load(400_000 * MIB)
        small, large = (simulate(load, Machines(50), self.TERMS, most_group=most * MIB) for most in (64, 1024))
        assert large.merge < small.merge / 2
