"""Copies of a process: what comes back, and what happens where there is no copy, or no more. Each test forks a process of its own."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pipeline import forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")

START = """
import os, signal, sys, threading, time
from pipeline import process
from pipeline.forks import copies, each_in_copies, may_copy
process.prepare()
me = os.getpid()
"""


def run(program):
    return subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(program)], capture_output=True, text=True, check=False
    )


def said(program):
    done = run(program)
    assert done.stderr == ""
    return done.stdout.split()


def test_copies_look_at_values_elsewhere_and_give_what_they_find_in_order():
    program = """
        found = list(each_in_copies(lambda value: (value, os.getpid()), range(7), 2))
        print(*(value for value, _ in found))
        print(len({process for _, process in found}), me in {process for _, process in found})
    """
    assert said(program) == [*"0123456", "2", "False"]


def test_an_error_comes_back_in_its_place_and_says_where_it_was_raised():
    program = """
        def look(value):
            if value:
                os.stat("/none")
            return value
        found = each_in_copies(look, [0, 1, 2], 2)
        print(next(found))
        try:
            next(found)
        except FileNotFoundError as error:
            print("in look" in error.__notes__[0])
    """
    assert said(program) == ["0", "True"]


def test_what_a_copy_leaves_that_is_killed_is_looked_at_here():
    program = """
        def look(value):
            if value == 2 and os.getpid() != me:
                os.kill(os.getpid(), signal.SIGKILL)
            return value, os.getpid() == me
        with copies(look, [[0, 1, 2, 3]]) as (found,):
            print(*found)
    """
    assert "".join(said(program)) == "(0,False)(1,False)(2,True)(3,True)"


def test_half_an_answer_of_a_copy_is_none():
    program = """
        def look(value):
            if os.getpid() != me:
                signal.setitimer(signal.ITIMER_REAL, 0.2)  # whose signal ends the copy, while its answer fills the pipe
            return bytes(1 << 20)
        with copies(look, [[0]]) as (found,):
            time.sleep(1)
            print(len(next(found)))
    """
    assert said(program) == [str(1 << 20)]


def test_an_answer_is_whole_whose_copy_was_stopped_while_the_pipe_was_full_and_goes_on():
    program = """
        def look(value):
            os.write(told, b"!")
            return os.getpid(), bytes(1 << 20)
        heard, told = os.pipe()
        with copies(look, [[0, 1]]) as (found,):
            os.read(heard, 1)
            copy = int(open(f"/proc/{me}/task/{me}/children").read())
            while open(f"/proc/{copy}/stat").read().rpartition(")")[2].split()[0] != "S":  # it waits for room in the pipe
                time.sleep(0.01)
            os.kill(copy, signal.SIGSTOP)
            os.waitpid(copy, os.WUNTRACED)
            os.kill(copy, signal.SIGCONT)
            print(*(process == copy for process, _ in found))
    """
    assert said(program) == ["True", "True"]


@pytest.mark.parametrize(
    "obstacle",
    [
        "def refuse(): raise OSError('no more processes')\nos.fork = refuse",
        "def refuse(): raise OSError('no more descriptors')\nos.pipe = refuse",
        "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "process._is_own = False",
    ],
    ids=["the system has no room", "nor a pipe", "another thread is there", "a program of somebody else"],
)
def test_where_no_copy_can_be_made_this_process_looks(obstacle):
    program = f"""
{obstacle}
print(*each_in_copies(lambda value: os.getpid() == me, [0, 1], 2))
"""
    assert said(program) == ["True", "True"]


def test_nothing_of_ctrl_c_arrives_in_a_copy():
    program = """
        def look(value):
            os.kill(os.getpid(), signal.SIGINT)
            return os.getpid() != me
        print(*each_in_copies(look, [0, 1], 1))
    """
    assert said(program) == ["True", "True"]


def test_no_copy_is_left_where_its_answers_are_not_taken():
    program = """
        with copies(lambda value: time.sleep(99), [[0], [0]]):
            pass
        found = each_in_copies(lambda value: os.getpid(), range(99), 2)
        next(found)
        found.close()
        try:
            os.wait()
        except ChildProcessError:
            print("none")
    """
    assert said(program) == ["none"]


def test_a_copy_ends_with_its_process_whatever_ends_that():
    program = """
        def look(value):
            os.write(1, b"%d\\n" % os.getpid())
            time.sleep(99)
        with copies(look, [[0]]) as (found,):
            next(found)
    """
    with subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as parent:
        copy = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while is_there(copy):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def is_there(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_is_not_the_command_line_makes_no_copies():
    assert not forks.may_copy()
