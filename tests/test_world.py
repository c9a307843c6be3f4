"""A world whose truth is known before any log of it is written: whatever is logged how often, each byte counts once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import pytest

from pipeline.flowstore import FlowStore
from pipeline.options import IngestOptions
from tests.world import (
    APPS,
    HOPS,
    LOGGED,
    Teller,
    World,
    aws_files,
    aws_parquet,
    aws_text,
    azure_files,
    by_client,
    by_first_attachment,
    by_receiver,
    by_sender,
    gateway_files,
    google_files,
    netobserv_files,
)

ENDS = {"logged": (LOGGED,), "hop": tuple(sorted(HOPS))}
WRITERS = {"text": aws_text, "parquet": aws_parquet}


@dataclass(frozen=True)
class Form:
    """What writes a world's logs, whose record of a packet counts by the rule, and the options that the rule needs."""

    files: Callable[[World], dict[str, list[bytes]]]
    teller: Teller
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)


FORMS = {
    "aws-text": Form(aws_files, by_sender, ENDS),
    "aws-parquet": Form(partial(aws_files, write=aws_parquet), by_sender, ENDS),
    "azure": Form(azure_files, by_client, {"logged": (LOGGED,)}),
    "google": Form(google_files, by_sender),
    "netobserv": Form(netobserv_files, by_receiver),
    "transit-gateway": Form(gateway_files, by_first_attachment),
}

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


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
class TestEveryForm:
    def test_of_any_files_each_byte_counts_once_that_the_right_file_among_them_tells(self, tmp_path, form, seed):
        """Files of other interfaces on a packet's way may be there or not, in any order, in one run or in two."""
        random, world = Random(seed), World(seed)
        logs = Logs(tmp_path, form.files(world))
        chosen = {interface for interface in logs.paths if random.random() < 0.6}
        paths = logs.of(chosen)
        random.shuffle(paths)
        cut = random.randrange(len(paths) + 1)
        store, _ = logs.count("store", paths[:cut], paths[cut:], **form.options)
        assert sums_of(store) == world.truth(form.teller, chosen)

    def test_what_is_too_much_in_the_naive_sum_is_told(self, tmp_path, form, seed):
        world = World(seed)
        logs = Logs(tmp_path, form.files(world))
        store, summary = logs.count("store", logs.of(logs.paths), **form.options)
        naive, _ = logs.count("naive", logs.of(logs.paths), both_ends="count")
        assert sums_of(store) == world.truth(form.teller)
        assert total(sums_of(naive)) - total(sums_of(store)) == summary.ignored_bytes["other reporter"] > 0

    def test_file_by_file_in_any_order_is_as_together_and_is_taken_back_file_by_file(self, tmp_path, form, seed):
        world = World(seed)
        logs = Logs(tmp_path, form.files(world))
        paths = logs.of(logs.paths)
        Random(seed).shuffle(paths)
        half = paths[: len(paths) // 2]
        store, _ = logs.count("alone", *([path] for path in paths), **form.options)
        assert sums_of(store) == world.truth(form.teller)
        for path in paths[len(half) :]:
            store.forget([str(path)])
        others, _ = logs.count("others", sorted(half), **form.options)
        assert sums_of(store) == sums_of(others)
        assert store.verify().problems == []


@pytest.mark.parametrize("seed", range(3))
def test_azures_hint_is_what_logged_leaves_out(tmp_path, seed):
    logs = Logs(tmp_path, azure_files(World(seed)))
    paths = logs.of(logs.paths)
    _, told = logs.count("told", paths, logged=(LOGGED,))
    _, without = logs.count("without", paths)
    assert without.both_ends.bytes == told.ignored_bytes["other reporter"] > 0


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
    assert (summary.both_ends.bytes, summary.unmet_hops) == (0, [])


def test_networks_and_hops_that_are_mistyped_are_told(written):
    _, logs = written
    _, summary = logs.count("store", logs.of(logs.paths), logged=("10.9.0.0/16",), hop=("eni-typo",))
    assert summary.both_ends_share > 0.4
    assert summary.unmet_hops == ["eni-typo"]


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
