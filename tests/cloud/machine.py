"""A machine, as far as a store in a bucket can tell one: processes that share a cache, and share nothing with other machines.

    python -m tests.cloud.machine

Reads commands, a line of JSON each: the arguments of `flowlog`, what is set, and where the output goes. Forks a process for each, so that the
imports are paid once, and answers with its number, and when it has ended with its exit code.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ended:
    """A process that has ended: its exit code, negative for a signal, and what it wrote."""

    code: int
    output: str


class Machine:
    """A machine that tests let run commands, one at a time.

    Args:
        folder: Where the machine's files are.
        environment: What its processes have set, besides what this process has.
    """

    def __init__(self, folder, environment):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        own = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "STATE")}
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.cloud.machine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment, **own},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._zygote.stdin.close()
        self._zygote.wait()
        self._zygote.stdout.close()

    def start(self, *arguments, **environment):
        """Starts a command, with more variables set; gives its process' number."""
        command = {
            "arguments": [str(argument) for argument in arguments],
            "environment": environment,
            "output": str(self.folder / "output"),
        }
        self._zygote.stdin.write(json.dumps(command) + "\n")
        self._zygote.stdin.flush()
        self.process = json.loads(self._zygote.stdout.readline())
        return self.process

    def wait(self):
        """Waits for the command's end."""
        code = json.loads(self._zygote.stdout.readline())
        return Ended(code, (self.folder / "output").read_text())

    def run(self, *arguments, **environment):
        """Starts a command, with more variables set, and waits for its end."""
        self.start(*arguments, **environment)
        return self.wait()

    def signal(self, number):
        """Sends a signal to the command's process, if it has not ended."""
        with suppress(ProcessLookupError):
            os.kill(self.process, number)


def work():
    """What a machine does."""
    import pandas as pd  # noqa: F401 - see conftest.py

    from pipeline.cli import main

    with TemporaryDirectory() as folder:  # a run imports more on its way
        raw = Path(folder) / "raw.csv"
        raw.write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,a,b,v,1,1\n")
        sys.argv = ["flowlog", "ingest", str(raw), "--store", str(Path(folder) / "store"), "--quiet"]
        with suppress(SystemExit):
            main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        command = json.loads(line)
        if (child := os.fork()) == 0:
            _become(command, main)
        _tell(child)
        _tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _tell(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(command, main):
    """Runs a command in this process, which ends with it."""
    code = 1
    try:
        output = os.open(command["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.environ.update(command["environment"])
        sys.argv = ["flowlog", *command["arguments"]]
        main()
    except SystemExit as exit_:
        code = exit_.code or 0
    except Exception as error:  # noqa: BLE001 - whatever it is, the test reads about it
        import traceback

        traceback.print_exception(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    work()
