"""A world whose truth is known before any log of it is written: whatever is logged how often, each byte counts once."""

from pathlib import Path
from random import Random

import pytest

from pipeline.flowstore import FlowStore
from pipeline.options import IngestOptions
from tests.world import (
    APPS,
    HOPS,
    LOGGED,
    World,
    aws_files,
    aws_parquet,
    aws_text,
    azure_files,
    gateway_files,
    google_files,
    netobserv_files,
)

ENDS = {"logged": (LOGGED,), "hop": tuple(sorted(HOPS))}
WRITERS = {"text": aws_text, "parquet": aws_parquet}

pytestmark = pytest.mark.usefixtures("unsynced")


class Logs:
    """The files of each interface, in a folder."""

    def __init__(self, folder, files):
        self.folder = folder
        (folder / "apps.csv").write_text(APPS)
        self.paths = {}
        for interface, contents in files.items():
            self.paths[interface] = [folder / f"{interface}-{number}.log" for number in range(len(contents))]
            for path, content in zip(self.paths[interface], contents, strict=True):
                path.write_bytes(content)

    def of(self, interfaces):
        return [path for interface in sorted(interfaces) for path in self.paths[interface]]

    def count(self, name, *runs, **options):
        """Counts the files of each run into one store."""
        store = FlowStore(self.folder / name, create=True)
        summary = None
        for paths in runs:
            summary = store.ingest(list(map(str, paths)), IngestOptions(apps=self.folder / "apps.csv", **options))
            assert not summary.failures
        return store, summary


def sums_of(store):
    if not (hours := store.hours()):
        return {}
    rows = store.table(hours[0].hour, hours[-1].hour + 1).to_pylist()
    return {
        (row["hour"], row["src_app"], row["dest_app"], row["vpc_id"]): (row["bytes_tx"], row["bytes_rx"]) for row in rows
    }


def total(sums):
    return sum(sent + received for sent, received in sums.values())


@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_with_azures_records_of_both_directions(tmp_path, seed):
    world = World(seed)
    logs = Logs(tmp_path, azure_files(world))
    paths = logs.of(logs.paths)
    store, summary = logs.count("store", paths, logged=(LOGGED,))
    naive, without = logs.count("naive", paths)
    assert sums_of(store) == world.truth_of_conversations()
    assert (
        total(sums_of(naive)) - total(sums_of(store))
        == summary.ignored_bytes["other reporter"]
        == without.both_ends.bytes
        > 0
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("write", [google_files, netobserv_files])
def test_so_it_is_by_the_formats_own_rule_for_any_files(tmp_path, write, seed):
    """Google counts what the sender reports, and from outside the receiver; NetObserv what comes in, and to outside what goes out."""
    random, world = Random(seed), World(seed)
    logs = Logs(tmp_path, write(world))
    chosen = {interface for interface in logs.paths if random.random() < 0.7}
    paths = logs.of(chosen)
    random.shuffle(paths)
    cut = random.randrange(len(paths) + 1)
    store, _ = logs.count("store", paths[:cut], paths[cut:])
    assert sums_of(store) == world.truth(chosen, receivers=write is netobserv_files)


@pytest.mark.parametrize("write", [google_files, netobserv_files])
def test_the_naive_sum_of_these_is_too_large(tmp_path, write):
    world = World(3)
    logs = Logs(tmp_path, write(world))
    naive, _ = logs.count("naive", logs.of(logs.paths), both_ends="count")
    once, summary = logs.count("once", logs.of(logs.paths))
    assert total(sums_of(once)) == total(world.truth())
    assert total(sums_of(naive)) - total(sums_of(once)) == summary.ignored_bytes["other reporter"] > 0


@pytest.mark.parametrize("seed", range(3))
def test_a_transit_gateways_log_has_each_packet_once_though_it_passes_two_attachments(tmp_path, seed):
    world = World(seed)
    logs = Logs(tmp_path, gateway_files(world))
    store, summary = logs.count("store", logs.of(logs.paths))
    assert sums_of(store) == world.truth_between_vpcs()
    assert summary.ignored_bytes["other reporter"] == total(world.truth_between_vpcs()) > 0


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    world = World(7)
    return world, Logs(tmp_path, aws_files(world, WRITERS[request.param]))


def test_whatever_passes_how_many_interfaces_counts_once(written):
    world, logs = written
    store, summary = logs.count("store", logs.of(logs.paths), **ENDS)
    assert sums_of(store) == world.truth()
    passed = sum(passing.packets.size for seen in world.by_interface().values() for passing in seen)
    assert summary.bytes_tx + summary.bytes_rx + summary.ignored_bytes["other reporter"] == passed
    assert summary.both_ends is None


def test_the_naive_sum_is_too_large(written):
    world, logs = written
    store, summary = logs.count("store", logs.of(logs.paths), both_ends="count")
    passed = sum(passing.packets.size for seen in world.by_interface().values() for passing in seen)
    assert total(sums_of(store)) == passed > 2 * total(world.truth())
    assert not summary.ignored


def test_what_the_hint_says_is_what_the_options_leave_out(written):
    world, logs = written
    ends = set(logs.paths) - HOPS
    _, without = logs.count("without", logs.of(ends))
    _, told = logs.count("told", logs.of(ends), logged=(LOGGED,))
    assert without.both_ends.bytes == told.ignored_bytes["other reporter"] > 0
    assert without.bytes_tx + without.bytes_rx - without.both_ends.bytes == total(world.truth())


@pytest.mark.parametrize("seed", range(6))
def test_of_any_files_each_byte_counts_once_that_its_senders_file_tells(tmp_path, seed):
    """Of what comes from outside, the receiver's file tells; files of hops tell nothing, and may be there or not."""
    random, world = Random(seed), World(seed)
    logs = Logs(tmp_path, aws_files(world))
    chosen = {interface for interface in logs.paths if random.random() < 0.6}
    paths = logs.of(chosen)
    random.shuffle(paths)
    cut = random.randrange(len(paths) + 1)
    store, _ = logs.count("store", paths[:cut], paths[cut:], **ENDS)
    assert sums_of(store) == world.truth(chosen)


@pytest.mark.parametrize("seed", range(3))
def test_with_all_ends_there_the_files_of_hops_change_nothing(tmp_path, seed):
    random, world = Random(seed), World(seed)
    logs = Logs(tmp_path, aws_files(world))
    hops = {hop for hop in sorted(HOPS) if random.random() < 0.5}
    store, _ = logs.count("store", logs.of((set(logs.paths) - HOPS) | hops), **ENDS)
    assert sums_of(store) == world.truth()


def test_order_and_grouping_of_the_files_change_nothing(tmp_path):
    world = World(11)
    logs = Logs(tmp_path, aws_files(world))
    paths = logs.of(logs.paths)
    store, together = logs.count("together", paths, workers=2, **ENDS)
    Random(1).shuffle(paths)
    alone, _ = logs.count("alone", *([path] for path in paths), **ENDS)
    assert sums_of(alone) == sums_of(store) == world.truth()
    runs = alone.runs()
    for name in ("ignored", "ignored_bytes"):
        assert sum((run.by_reason(name) for run in runs), type(together.ignored)()) == getattr(together, name)


def test_the_hint_is_the_same_in_whatever_order_and_groups(tmp_path):
    logs = Logs(tmp_path, aws_files(World(11)))
    paths = logs.of(logs.paths)
    (tmp_path / "again").mkdir()
    names = list(range(len(paths)))
    Random(2).shuffle(names)
    for path, name in zip(paths, names, strict=True):
        (tmp_path / "again" / f"{name}.log").write_bytes(path.read_bytes())
    _, first = logs.count("first", paths)
    _, second = logs.count("second", sorted(Path(tmp_path / "again").iterdir()), workers=1)
    assert first.both_ends == second.both_ends
    assert first.both_ends.is_exact


def test_a_file_that_is_forgotten_leaves_what_the_others_count_alone(tmp_path):
    logs = Logs(tmp_path, aws_files(World(5)))
    chosen = [logs.paths[interface][0] for interface in ("eni-web-4", "eni-api-6", "eni-db-8", "eni-node", "eni-nat")]
    store, _ = logs.count("store", chosen, **ENDS)
    for left in range(len(chosen) - 1, 0, -1):
        store.forget([str(chosen[left])])
        others, _ = logs.count(f"others-{left}", chosen[:left], **ENDS)
        assert sums_of(store) == sums_of(others)
    verified = store.verify()
    assert verified.problems == []
