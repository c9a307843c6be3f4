"""What a store in a bucket promises to several machines, of which each may stop, die, or lose an answer at any request.

Each test does a whole run once and counts its requests, then does the run again for each of them, with something going wrong
there: for a few of them, and for every one in `make soak`.
"""

import os
import random
import shutil
from collections import Counter
from contextlib import suppress
from threading import Condition, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import FlowlogError, UsageError
from pipeline.jobs import turns
from pipeline.jobs.ingest import ingest
from pipeline.jobs.undo import drop, forget
from pipeline.jobs.verify import verify
from pipeline.options import IngestOptions
from pipeline.store.partitions import read_partition
from tests.conformance.memory import NoAnswer

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"


#: So many of the places are tried at which something can go wrong; None for all of them.
TRIED = None if "FLOWLOG_SOAK" in os.environ else 3


def some(places):
    """The first and the last of some places, and a few in between; all of them in a soak."""
    between = places[1:-1]
    if TRIED is None or len(between) <= TRIED:
        return list(places)
    return [places[0], *sorted(random.Random(len(places)).sample(between, TRIED)), places[-1]]


class Killed(BaseException):
    """A process that is no more: it does nothing on its way out."""


class Killer:
    """Ends a process right before one of its requests."""

    def __init__(self, fatal=0):
        self.count, self.fatal, self.kinds = 0, fatal, []

    def __call__(self, kind, path, act):
        self.count += 1
        self.kinds.append((kind, path))
        if self.fatal and self.count >= self.fatal:
            raise Killed
        return act()


class Fault:
    """Has one request of a process go wrong.

    done: The request is done, and its answer is lost.
    lost: The request is lost.
    twice: The answer is lost, and the request made again: the second answer counts.
    late: The request seems lost, and arrives once `land` is called.
    """

    def __init__(self, place, kind):
        self.count, self.place, self.kind = 0, place, kind
        self.land = lambda: None

    def __call__(self, kind, path, act):
        self.count += 1
        if self.count != self.place:
            return act()
        if self.kind in ("done", "twice"):
            first = act()
            if self.kind == "twice":
                return first if kind in ("get", "head", "list") else act()
        elif self.kind == "late" and kind in ("put", "delete"):
            self.land = act
        raise NoAnswer("the connection was lost")


class Scheduler:
    """Lets processes make their requests one at a time, in an order that a test chooses."""

    def __init__(self):
        self._changed = Condition()
        self._waiting = {}  # who waits to make a request, and whether it may
        self._running = {}

    def start(self, name, work):
        self._running[name] = Thread(target=self._run, args=(name, work), daemon=True)
        self._running[name].start()

    def _run(self, name, work):
        try:
            work(lambda kind, path, act: self._turn(name, act))
        except BaseException as error:  # noqa: BLE001 - the test is told
            self.failed = error
        with self._changed:
            del self._running[name]
            self._changed.notify_all()

    def _turn(self, name, act):
        with self._changed:
            self._waiting[name] = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting[name])
            del self._waiting[name]
        return act()

    def step(self, name):
        """Lets a process make one request, and waits until it wants to make the next; gives whether it goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self._running.keys() == self._waiting.keys())
            if name in self._waiting:
                self._waiting[name] = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._waiting.get(name) and self._running.keys() == self._waiting.keys())
            return name in self._running

    def finish(self, *names):
        for name in names:
            while self.step(name):
                pass
        if error := getattr(self, "failed", None):
            raise error


class Raw:
    """Raw files, and what they add up to."""

    def __init__(self, folder):
        self.folder = folder
        self.lines = {}

    def write(self, name, *lines):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
        self.lines[name] = lines
        return str(path)

    def sums(self, *names):
        """The sums by hour and key of some files, each counted once."""
        sums = Counter()
        for name in dict.fromkeys(names):
            for line in self.lines[name]:
                hour, *key, tx, rx = line.split(",")
                if int(hour) > 0:
                    sums.update(
                        {(int(hour), *key, "tx"): int(tx), (int(hour), *key, "rx"): int(rx), (int(hour), *key, "flows"): 1}
                    )
        return +sums


class MachinesTests:
    """The claims. A subclass gives the fixture `medium`, which has these methods.

    locations: The store as a machine sees it, whose own folder is given; every request goes through a function.
    objects: The contents by their names from the store on; restore: puts such contents there, and nothing else.
    """

    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch, unsynced):
        monkeypatch.setattr(turns, "_FIRST_PAUSE", 0)
        monkeypatch.setattr("pipeline.jobs.verify._PAUSE_SECONDS", 0)

    @pytest.fixture
    def raw(self, tmp_path):
        raw = Raw(tmp_path / "raw")
        raw.write("old/a.csv", "1,a,b,v,1,1", "2,a,b,v,2,2", "0,bad,b,v,1,1")
        raw.write("old/b.csv", "1,a,b,v,10,10", "3,a,b,v,3,3", "7,a,b,v,1,1")
        return raw

    @pytest.fixture
    def machine(self, medium, tmp_path):
        """Makes the store as a new machine sees it, which knows nothing yet."""
        numbers = iter(range(10**6))
        return lambda around=lambda kind, path, act: act(): medium.locations(tmp_path / f"machine-{next(numbers)}", around)

    @pytest.fixture
    def base(self, medium, raw, machine):
        """A store with some hours; gives its contents."""
        ingest([str(raw.folder / "old")], machine(), IngestOptions(workers=1))
        return medium.objects()

    @pytest.fixture(params=["ingest", "replace", "drop", "forget", "empty"])
    def action(self, request, raw, base):
        """What a run does to that store; the raw files are there."""
        if request.param in ("ingest", "replace"):
            raw.write("new/c.csv", "1,a,b,v,100,100", "3,c,d,v,5,5", "4,c,d,v,6,6", "0,bad,b,v,1,1")
            raw.write("new/d.csv", "4,c,d,v,60,60")
        if request.param == "replace":
            raw.write("old/a.csv", "1,a,b,v,1,5", "5,a,b,v,2,2", "0,worse,b,v,1,1")
        if request.param == "empty":  # a run without rows
            raw.write("new/e.csv")
        options = IngestOptions(workers=1, replace_changed=request.param == "replace")

        def act(store):
            if request.param == "drop":
                drop(store, before=3)
            elif request.param == "forget":
                with suppress(UsageError):  # it is forgotten already
                    forget(store, [str(raw.folder / "old" / "b.csv")])
            else:
                ingest([str(raw.folder)], store, options)

        return act

    def test_a_run_that_is_killed_at_any_request_and_repeated_leaves_the_same_objects(self, medium, base, action, machine):
        steps, expected = self.undisturbed(medium, base, action, machine)
        for fatal in some(range(1, steps + 1)):
            medium.restore(base)
            store = machine(Killer(fatal))
            with suppress(Killed):
                action(store)
                pytest.fail("it was not killed")
            again = store if fatal % 2 else machine()  # of whose files some are half made, or a new one
            store.files.around = again.files.around = Killer()
            action(again)
            self.check(medium, machine, expected, f"killed at {fatal}")

    def test_a_run_whose_repetition_is_killed_too_leaves_the_same_objects(self, medium, base, action, machine):
        steps, expected = self.undisturbed(medium, base, action, machine)
        for fatal in some(range(1, steps + 1)):
            medium.restore(base)
            for number in (fatal, 1 + fatal * 7 % steps):
                with suppress(Killed):
                    action(machine(Killer(number)))
            action(machine())
            self.check(medium, machine, expected, f"killed at {fatal}")

    @pytest.mark.parametrize("kind", ["done", "lost", "twice", "late"])
    def test_a_request_that_goes_wrong_changes_nothing_but_when_a_run_is_done(self, medium, base, action, machine, kind):
        steps, expected = self.undisturbed(medium, base, action, machine)
        for place in some(range(1, steps + 1)):
            medium.restore(base)
            fault = Fault(place, kind)
            with suppress(FlowlogError):  # the user is told, and runs the command again
                action(machine(fault))
            if place % 2:
                fault.land()
            action(machine())
            fault.land()
            self.check(medium, machine, expected, f"{kind} at {place}")

    def undisturbed(self, medium, base, action, machine):
        """The requests of a run that nothing disturbs, and what it leaves."""
        medium.restore(base)
        counter = Killer()
        action(machine(counter))
        return counter.count, data_of(medium.objects())

    def check(self, medium, machine, expected, what):
        assert data_of(medium.objects()) == expected, what
        self.check_sound(machine, what)
        assert not [name for name in medium.objects() if name.startswith("staging/")], what

    def check_sound(self, machine, what=""):
        """An idle run clears away what is left, and the store is sound."""
        store = machine()
        ingest([], store, IngestOptions(workers=1))
        assert verify(store).problems == [], what

    @pytest.mark.parametrize("kind", ["done", "lost", "twice"])
    def test_a_record_whose_answer_is_lost_is_known_for_the_runs_own(self, medium, base, raw, machine, kind):
        raw.write("new/c.csv", "1,a,b,v,100,100")
        counter = Killer()
        ingest([str(raw.folder)], machine(counter), IngestOptions(workers=1))
        place = next(i for i, (asked, path) in enumerate(counter.kinds, 1) if asked == "put" and "/runs/" in path)
        medium.restore(base)
        summary = ingest([str(raw.folder)], machine(Fault(place, kind)), IngestOptions(workers=1))
        assert (summary.run_id, summary.ingested, summary.recovered) == ("00000002", 1, [])

    # --- two machines at once

    @pytest.fixture
    def news(self, raw, base):
        """Two machines' new files: some of their own, one that both have, and hours that both change."""
        raw.write("first/a.csv", "1,a,b,v,7,7", "4,a,b,v,7,7", "0,bad,b,v,1,1")
        raw.write("second/b.csv", "1,a,b,v,70,70", "5,a,b,v,70,70")
        raw.write("both/c.csv", "3,a,b,v,700,700", "4,x,b,v,700,700")
        return raw

    @staticmethod
    def ingesting(raw, machine, *folders):
        def work(around):
            store = machine(around)
            ingest([str(raw.folder / folder) for folder in folders], store, IngestOptions(workers=1))

        return work

    def check_all_counted_once(self, medium, news, machine, what=""):
        self.check_sound(machine, what)
        assert sums_in(machine()) == news.sums(*(name for name in news.lines)), what
        assert not [name for name in medium.objects() if name.startswith("staging/")], what

    def test_a_machine_that_stops_before_any_request_while_another_works_loses_nothing(self, medium, base, news, machine):
        first = self.ingesting(news, machine, "first", "both")
        counter = Killer()
        first(counter)
        for stop in some(range(counter.count + 1)):
            medium.restore(base)
            scheduler = Scheduler()
            scheduler.start("first", first)
            for _ in range(stop):
                scheduler.step("first")
            self.ingesting(news, machine, "second", "both")(lambda kind, path, act: act())
            scheduler.finish("first")
            self.check_all_counted_once(medium, news, machine, f"stopped before {stop}")

    def test_machines_that_take_turns_in_any_order_lose_nothing_and_count_nothing_twice(self, medium, base, news, machine):
        @settings(max_examples=10 if TRIED else 300, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(st.sampled_from(["first", "second", "third"]), min_size=20, max_size=120))
        def check(order):
            medium.restore(base)
            scheduler = Scheduler()
            scheduler.start("first", self.ingesting(news, machine, "first", "both"))
            scheduler.start("second", self.ingesting(news, machine, "second", "both"))
            scheduler.start("third", self.ingesting(news, machine, "both"))
            for name in order:
                scheduler.step(name)
            scheduler.finish("second", "third", "first")
            self.check_all_counted_once(medium, news, machine)

        check()

    @pytest.mark.parametrize(
        "others", ["forget", "forget ingest", "forget drop ingest", "more forget", "forget ingest drop more"]
    )
    def test_who_sleeps_while_it_publishes_and_wakes_after_other_runs_changes_nothing(
        self, medium, base, news, machine, others
    ):
        """What the others take back and count again are the sleeper's own files, so that equal sums come back."""
        own = [str(news.folder / "first" / "a.csv")]
        runs = {
            "forget": lambda: forget(machine(), own),
            "ingest": lambda: ingest(own, machine(), IngestOptions(workers=1)),
            "drop": lambda: drop(machine(), before=2),
            "more": lambda: ingest([str(news.folder / "second")], machine(), IngestOptions(workers=1)),
        }
        sleeper = self.ingesting(news, machine, "first")
        counter = Killer()
        sleeper(counter)
        committed = next(i for i, (kind, path) in enumerate(counter.kinds) if kind == "put" and "/runs/" in path)
        for stop in some(range(committed + 1, counter.count + 1)):
            medium.restore(base)
            scheduler = Scheduler()
            scheduler.start("sleeper", sleeper)
            for _ in range(stop):
                scheduler.step("sleeper")
            for name in others.split():
                runs[name]()
            before = data_of(medium.objects())
            scheduler.finish("sleeper")
            assert data_of(medium.objects()) == before, f"slept before {stop}"
            self.check_sound(machine, f"slept before {stop}")

    def test_hours_that_lose_all_their_rows_are_not_there_for_readers(self, medium, base, raw, machine):
        store = machine()
        assert store.hours() == [1, 2, 3, 7]
        drop(store, before=3)
        assert store.hours() == [3, 7]
        assert list(store.hours_within(1, 8)) == [3, 7]
        assert read_partition(store, 1).num_rows == 0
        assert {name for name in medium.objects() if name.startswith("flows/")} >= {"flows/hour=1/part-0.parquet"}
        assert verify(store).problems == []
        drop(store, before=8, every=True)
        assert store.hours() == []

    def test_a_machine_whose_cache_is_lost_counts_nothing_twice(self, medium, base, raw, machine):
        store = machine()
        assert ingest([str(raw.folder)], store, IngestOptions(workers=1)).run_id is None
        shutil.rmtree(store.local)
        assert ingest([str(raw.folder)], store, IngestOptions(workers=1)).run_id is None
        assert medium.objects() == base


def data_of(objects):
    """What readers see: all that is in `flows/` and `rejects/`."""
    return {name: content for name, content in objects.items() if name.startswith(("flows/", "rejects/"))}


def sums_in(store):
    sums = Counter()
    for hour in store.hours():
        for row in read_partition(store, hour).to_pylist():
            key = (row["hour"], row["src_app"], row["dest_app"], row["vpc_id"])
            sums.update({(*key, "tx"): row["bytes_tx"], (*key, "rx"): row["bytes_rx"], (*key, "flows"): row["flows"]})
    return +sums
