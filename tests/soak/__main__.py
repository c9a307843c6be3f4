"""Everything at once, for as long as one likes: each command killed, power lost, bits flipped, held against an oracle.

    python -m tests.soak FOLDER [--seconds 600] [--seed 1]

The program under test is the command line in processes of its own, and the service over HTTP. The oracle is a dictionary: which
files count, with which records, and in which hours they were dropped since. A command that was killed is given again until
it is done; then the totals of all hours must be the oracle's, and `verify` must find nothing. Prints what was done, and
each thing that was wrong.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import http.client
import io
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.power import Disk

ROOT = Path(__file__).parents[2]
#: The hours of the files, and those of the service: `forget` cannot make hours anew that have the service's records.
FILE_HOURS, SERVICE_HOURS = range(498_000, 498_006), range(498_100, 498_103)
LAST_HOUR = 499_000
#: A command and its kill: a run takes about a second and a half on a quiet machine.
LONGEST = 1.5

Key = tuple[int, str, str, str]
Record = tuple[int, str, str, str, int, int]


@dataclass
class Counted:
    """A file that counts: its records, and the hours that were dropped since."""

    records: list[Record]
    dropped: set[int] = field(default_factory=set)


class Oracle:
    """What must be in the store."""

    def __init__(self) -> None:
        self.files: dict[str, Counted] = {}
        self.posted: Counter[str] = Counter()  # the service's requests, by app and hour

    def totals(self) -> dict[Key, tuple[int, int, int]]:
        sums: dict[Key, list[int]] = {}
        for counted in self.files.values():
            for hour, src, dest, vpc, tx, rx in counted.records:
                if hour not in counted.dropped:
                    total = sums.setdefault((hour, src, dest, vpc), [0, 0, 0])
                    total[0] += tx
                    total[1] += rx
                    total[2] += 1
        return {key: tuple(total) for key, total in sums.items()}


# --- raw files ---------------------------------------------------------------------------------------------------


def records_of(chance: random.Random, count: int) -> list[Record]:
    """Records over few apps, so that the keys of many files are the same."""
    return [
        (
            chance.choice(FILE_HOURS),
            f"10.0.0.{chance.randrange(1, 6)}",
            f"10.0.1.{chance.randrange(1, 4)}",
            "-",
            chance.randrange(10**6),
            chance.randrange(10**6),
        )
        for _ in range(count)
    ]


def csv_text(records: list[Record]) -> str:
    header = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
    return header + "".join(",".join(map(str, record)) + "\n" for record in records) + "0,bad,row,v,1,1\n"


def json_text(records: list[Record]) -> str:
    names = ("hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx")
    return "".join(json.dumps(dict(zip(names, record, strict=True))) + "\n" for record in records)


def zeek_text(records: list[Record]) -> str:
    lines = ["#separator \\x09", "#unset_field\t-", "#path\tconn"]
    lines += ["#fields\tts\tid.orig_h\tid.resp_h\torig_ip_bytes\tresp_ip_bytes"]
    lines += [f"{hour * 3600 + 7}.5\t{src}\t{dest}\t{tx}\t{rx}" for hour, src, dest, _, tx, rx in records]
    return "\n".join(lines) + "\n"


WRITERS = {"csv": csv_text, "jsonl": json_text, "log": zeek_text}


# --- the program under test --------------------------------------------------------------------------------------


class Machine:
    """A store, its raw files, and the commands on them, which may be killed and lose their power."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.raw, self.store = folder / "raw", folder / "store"
        self.raw.mkdir(parents=True)
        self.disk = Disk(self.store, folder)
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipeline", *arguments, "--store", str(self.store)]
        return subprocess.Popen(
            command, env=self.disk.environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Runs a command to its end."""
        process = self.start(*arguments)
        out, error = process.communicate(timeout=300)
        if "Traceback" in error:
            self.wrong.append(f"{arguments[0]}: {error}")
        return process.returncode, out, error

    def run_until_done(self, *arguments: str, done: tuple[int, ...] = (0,)) -> None:
        """Kills a command at any instant, now and then with a loss of power, and gives it again until it is done."""
        for _ in range(self.chance.choice([0, 0, 1, 1, 2])):
            process = self.start(*arguments)
            try:
                process.communicate(timeout=self.chance.uniform(0, LONGEST))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                self.done["kills"] += 1
                self.may_lose_power()
        code, _, error = self.run(*arguments)
        self.done[arguments[0]] += 1
        if code not in done:
            self.wrong.append(f"{' '.join(arguments)}: exit code {code}: {error}")

    def may_lose_power(self) -> None:
        if self.chance.random() < 0.5:
            self.done["names and contents lost"] += len(self.disk.lose_power(self.chance))
            self.done["losses of power"] += 1

    def totals(self) -> dict[Key, tuple[int, int, int]]:
        """What the store has, as `query` prints it."""
        _, out, _ = self.run("query", "--hour", "1", "--until", str(LAST_HOUR), "--format", "csv")
        rows = csv.DictReader(io.StringIO(out))
        return {
            (int(row["hour"]), row["src_app"], row["dest_app"], row["vpc_id"]): (
                int(row["bytes_tx"]),
                int(row["bytes_rx"]),
                int(row["flows"]),
            )
            for row in rows
        }

    def flip_a_bit(self) -> None:
        """Flips a bit of a file that the store must prove, sees that `verify` finds it, and flips it back."""
        files = [path for name in ("flows", "rejects", "runs") for path in (self.store / name).rglob("*") if path.is_file()]
        path = self.chance.choice(sorted(files))
        content = bytearray(path.read_bytes())
        place, bit = self.chance.randrange(len(content)), 1 << self.chance.randrange(8)
        content[place] ^= bit
        path.write_bytes(content)
        code, _, _ = self.run("verify")
        content[place] ^= bit
        path.write_bytes(content)
        self.done["bits flipped"] += 1
        if code != 5:
            self.wrong.append(f"verify ends with {code} where bit {bit} of byte {place} of {path} is flipped")


class Service:
    """The service in a process of its own, and what it acknowledged."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.acknowledged: list[tuple[str, int]] = []
        self.uncertain: list[tuple[str, int]] = []  # sent, and perhaps counted
        self.again: list[tuple[str, int]] = []  # sent with a key, and to be sent again
        self.number = 0

    def serve(self) -> None:
        """Starts the service, sends requests, and ends it one way or another."""
        chance = self.machine.chance
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self.machine.start("serve", "--port", str(port), "--flush-seconds", str(chance.choice([0.1, 0.5, 60])))
        try:
            if not self.answers(process, port):
                self.machine.wrong.append(f"the service does not start: {process.stderr.read() if process.poll() else ''}")
                return
            for _ in range(chance.randrange(1, 60)):
                self.post(port)
        finally:
            is_killed = chance.random() < 0.6
            process.send_signal(signal.SIGKILL if is_killed else signal.SIGTERM)
            _, error = process.communicate(timeout=60)
        self.machine.done["services killed" if is_killed else "services ended"] += 1
        if is_killed:
            self.machine.may_lose_power()
        elif process.returncode or "Traceback" in error:
            self.machine.wrong.append(f"the service ended with {process.returncode}: {error}")

    def settle(self) -> None:
        """Starts the service once more, sends again what may be sent again, and has the service move all that waits."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self.machine.start("serve", "--port", str(port))
        if self.answers(process, port):
            while self.again:
                self.post(port)
        process.terminate()
        _, error = process.communicate(timeout=60)
        if process.returncode or "Traceback" in error:
            self.machine.wrong.append(f"the service ended with {process.returncode}: {error}")

    @staticmethod
    def answers(process: subprocess.Popen[str], port: int) -> bool:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False

    def post(self, port: int) -> None:
        chance = self.machine.chance
        if self.again and (chance.random() < 0.3 or self.number > 10_000):
            (name, hour), has_key = self.again.pop(), True
        else:
            self.number += 1
            (name, hour), has_key = (f"request-{self.number}", chance.choice(SERVICE_HOURS)), chance.random() < 0.3
        body = json.dumps(
            [{"src_app": name, "dest_app": "b", "vpc_id": "v", "bytes_tx": 3, "bytes_rx": 4, "hour": hour}] * 2
        )
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": name} if has_key else {})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", "/flows", body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            status = 0
        finally:
            connection.close()
        if status == 200:
            self.acknowledged.append((name, hour))
        else:
            (self.again if has_key else self.uncertain).append((name, hour))
        self.machine.done["requests"] += 1

    def faults(self, found: dict[Key, tuple[int, int, int]]) -> list[str]:
        """What is wrong with the totals of the service's hours."""
        rest = {(src, hour): total for (hour, src, _, _), total in found.items() if hour in SERVICE_HOURS}
        once = (6, 8, 2)
        acknowledged = {request: rest.pop(request, None) for request in self.acknowledged}
        uncertain = {request: rest.pop(request, once) for request in self.uncertain}
        return [
            *(
                f"{request} was acknowledged, and is there as {total}"
                for request, total in acknowledged.items()
                if total != once
            ),
            *(
                f"{request} was not acknowledged, and is there as {total}"
                for request, total in uncertain.items()
                if total != once
            ),
            *(f"{request} was never sent, and is there as {total}" for request, total in rest.items()),
        ]


# --- what is done ------------------------------------------------------------------------------------------------


class Soak:
    """One mixed scenario."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.machine = Machine(folder, seed)
        self.service = Service(self.machine)
        self.oracle = Oracle()
        self.number = 0

    def add_files(self) -> None:
        """New files are counted; copies, packed or not, are not counted again."""
        chance = self.machine.chance
        for _ in range(chance.randrange(1, 5)):
            self.number += 1
            kind = chance.choice(sorted(WRITERS))
            path = self.machine.raw / f"{self.number}.{kind}"
            records = records_of(chance, chance.randrange(1, 30))
            path.write_text(WRITERS[kind](records))
            self.oracle.files[path.name] = Counted(records)
            if chance.random() < 0.2:
                (self.machine.raw / f"copy-of-{self.number}").write_bytes(path.read_bytes())
        self.machine.run_until_done("ingest", str(self.machine.raw))

    def change_a_file(self) -> None:
        """A file that grew is reported, and then replaced."""
        chance, names = self.machine.chance, self.present()
        if not names:
            return
        name = chance.choice(names)
        path, counted = self.machine.raw / name, self.oracle.files[name]
        records = [*counted.records, *records_of(chance, chance.randrange(1, 5))]
        path.write_text(WRITERS[path.suffix[1:]](records))
        (self.machine.raw / f"copy-of-{path.stem}").unlink(missing_ok=True)  # or what is taken back would count from there
        if chance.random() < 0.5:
            self.machine.run_until_done("ingest", str(self.machine.raw), done=(3,))
            self.check()
        self.machine.run_until_done("ingest", str(self.machine.raw), "--replace-changed")
        self.oracle.files[name] = Counted(records)

    def forget_a_file(self) -> None:
        names = self.present()
        if names:
            name = self.machine.chance.choice(names)
            path = self.machine.raw / name
            self.machine.run_until_done("forget", str(path), done=(0, 2))  # 2: it was forgotten before the kill
            path.unlink()
            copy = self.machine.raw / f"copy-of-{path.stem}"
            copy.unlink(missing_ok=True)
            del self.oracle.files[name]

    def drop_hours(self) -> None:
        first = self.machine.chance.choice(FILE_HOURS)
        self.machine.run_until_done("drop", "--before", str(first))
        for counted in self.oracle.files.values():
            counted.dropped |= {hour for hour in FILE_HOURS if hour < first}

    def pack_a_file(self) -> None:
        """Rotation packs a file that was counted: the same content is not counted again."""
        names = [name for name in self.present() if not name.endswith("csv")]
        if names:
            path = self.machine.raw / self.machine.chance.choice(names)
            packed = path.with_name(path.name + ".gz")
            packed.write_bytes(gzip.compress(path.read_bytes()))
            self.machine.run_until_done("ingest", str(self.machine.raw))
            packed.unlink()

    def present(self) -> list[str]:
        """The counted files that are there, of which no hour was dropped: a file that is replaced counts in all its hours."""
        return sorted(name for name, counted in self.oracle.files.items() if not counted.dropped)

    def check(self) -> None:
        """Holds the store against the oracle."""
        self.service.settle()
        found = self.machine.totals()
        expected = self.oracle.totals()
        of_files = {key: total for key, total in found.items() if key[0] in FILE_HOURS}
        for key in sorted(expected.keys() | of_files.keys()):
            if expected.get(key) != of_files.get(key):
                self.machine.wrong.append(f"{key} is {of_files.get(key)} and must be {expected.get(key)}")
        self.machine.wrong += self.service.faults(found)
        code, out, error = self.machine.run("verify", *(["--deep"] if self.machine.chance.random() < 0.2 else []))
        if code:
            self.machine.wrong.append(f"verify ends with {code}: {out}{error}")

    def run(self, seconds: float, most: int = sys.maxsize) -> dict[str, object]:
        """Takes steps, for so many seconds or so many of them, or until something is wrong."""
        end = time.monotonic() + seconds
        often = [self.add_files, self.change_a_file, self.forget_a_file, self.pack_a_file, self.service.serve]
        steps = [*often, *often, *often, self.drop_hours]  # what was dropped cannot be replaced or forgotten as simply
        self.add_files()
        while time.monotonic() < end and self.machine.done["steps"] < most and not self.machine.wrong:
            step = self.machine.chance.choice([*steps, self.machine.flip_a_bit])
            step()
            self.machine.done["steps"] += 1
            if self.machine.chance.random() < 0.5:
                self.check()
        if not self.machine.wrong:
            self.check()
        return {"done": dict(self.machine.done), "files": len(self.oracle.files), "wrong": self.machine.wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description="Everything at once, killed, without power, with flipped bits.")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="flowlog-soak-"))
    result = {"seed": arguments.seed} | Soak(folder, arguments.seed).run(arguments.seconds)
    print(json.dumps(result, indent=1))
    sys.exit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    main()
