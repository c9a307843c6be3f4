"""How much of the workers' processor time holds Python's lock: no more of the work than that must wait for its turn.

    python -m benchmarks.lock RAW --workers 1 --same-content count    # and whatever else `flowlog ingest` takes

A timer of each thread that counts, in processor time, asks whether the thread holds the lock. So a machine that is busy with other
things disturbs little; a sampler that stops the process from without sees half of the short stretches at most, as it comes late. Four
copies of the files have the costs of a further row, mostly.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: The processor time between two samples; the system's clock may tick less often.
NANOSECONDS = 10**6
_SOURCE = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int (*holds_lock)(void);
static long samples[2];
static void sample(int number) { (void)number; __atomic_fetch_add(&samples[!!holds_lock()], 1, __ATOMIC_RELAXED); }
long *prepare(int (*check)(void)) {
    struct sigaction action = {.sa_handler = sample, .sa_flags = SA_RESTART};
    holds_lock = check;
    sigaction(SIGPROF, &action, NULL);
    return samples;
}
timer_t begin(long nanoseconds) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
    event._sigev_un._tid = syscall(SYS_gettid);
    timer_t timer;
    struct itimerspec each = {{0, nanoseconds}, {0, nanoseconds}};
    timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer);
    timer_settime(timer, 0, &each, NULL);
    return timer;
}
void end(timer_t timer) { timer_delete(timer); }
"""


def made_sampler(folder: str) -> ctypes.PyDLL:
    """A library that samples threads: `prepare` takes what tells whether the calling thread has the lock, and gives the counts of samples
    without it and with it; `begin` starts a timer for the calling thread, and `end` stops that.
    """
    library = Path(folder, "sampler.so")
    command = ["cc", "-xc", "-", "-O2", "-shared", "-fPIC", "-o", str(library), "-lrt"]
    subprocess.run(command, input=_SOURCE.encode(), check=True)
    sampler = ctypes.PyDLL(str(library))
    sampler.prepare.restype = ctypes.POINTER(ctypes.c_long)
    sampler.begin.restype, sampler.begin.argtypes, sampler.end.argtypes = ctypes.c_void_p, [ctypes.c_long], [ctypes.c_void_p]
    return sampler


def main() -> None:
    """Runs the job in this process, into a store that is thrown away, and prints the share."""
    from pipeline import process

    process.prepare()
    from pipeline.cli import main as run
    from pipeline.counting import pool as imported

    pool: Any = imported

    with tempfile.TemporaryDirectory() as folder:
        sampler = made_sampler(folder)
        samples, count_group = sampler.prepare(ctypes.pythonapi.PyGILState_Check), pool.count_group
        spent: list[float] = []

        def sampled(*arguments: Any) -> Any:
            timer, begun = sampler.begin(NANOSECONDS), time.thread_time()
            try:
                return count_group(*arguments)
            finally:
                sampler.end(timer)
                spent.append(time.thread_time() - begun)

        pool.count_group = sampled
        sys.argv = ["flowlog", "ingest", *sys.argv[1:], "--store", str(Path(folder, "store")), "--quiet"]
        try:
            run()
        except SystemExit as stop:
            if stop.code:
                raise
        free, held = samples[0], samples[1]
        print(
            f"{sum(spent):.2f} s in the workers, {100 * held / max(1, held + free):.1f} % of them with the lock ({held + free} samples)"
        )


if __name__ == "__main__":
    main()
