"""Calls in processes of this machine: what comes back, and what happens where there is no process, or no more."""

import os
import signal

import pytest

from pipeline import forks
from pipeline.counting.processes import ProcessExecutor, processes
from pipeline.counting.resources import Resources
from pipeline.errors import ClusterFailed


@pytest.fixture(scope="module", autouse=True)
def own_process():
    """Has this process taken for a command's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forks, "may_copy", lambda: True)
        yield


@pytest.fixture(scope="module")
def executor(own_process):
    with ProcessExecutor(1) as made:
        yield made


def test_a_call_is_carried_out_elsewhere(executor):
    assert executor.submit(os.getpid).result() != os.getpid()


def test_nothing_of_ctrl_c_arrives_there(executor):
    process = executor.submit(os.getpid).result()
    os.kill(process, signal.SIGINT)
    assert executor.submit(os.getpid).result() == process


def test_an_error_comes_back_and_says_where_it_was_raised(executor):
    with pytest.raises(FileNotFoundError) as caught:
        executor.submit(os.stat, "/none").result()
    assert "in outcome_of" in caught.value.__notes__[0]
    with pytest.raises(ClusterFailed, match="gone; nothing was committed"):
        executor.submit(refuse, "gone").result()
    assert executor.submit(len, [1, 2]).result() == 2


def refuse(problem):
    raise ClusterFailed(problem)


def end_but_not_in(process):
    """Ends the process that it is called in, as who is killed ends, unless that is the given one."""
    if os.getpid() != process:
        os.kill(os.getpid(), signal.SIGKILL)
    return "here"


def test_a_call_whose_process_is_killed_is_carried_out_here_and_so_are_the_next():
    with ProcessExecutor(1) as executor:
        assert executor.submit(end_but_not_in, os.getpid()).result() == "here"
        assert executor.submit(os.getpid).result() == os.getpid()


def test_no_process_is_left():
    with ProcessExecutor(2) as executor:
        process = executor.submit(os.getpid).result()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_none_is_left_where_there_is_room_for_some_of_them_alone(monkeypatch):
    made, fork = [], os.fork

    def fork_once():
        if made:
            raise BlockingIOError
        made.append(fork())
        return made[0]

    monkeypatch.setattr(os, "fork", fork_once)
    with processes(Resources(workers=2)) as workers:
        assert (workers.width, workers.executor.submit(os.getpid).result()) == (2, os.getpid())
        with pytest.raises(ProcessLookupError):
            os.kill(made[0], 0)


def test_threads_count_where_this_process_may_not_be_copied(monkeypatch):
    monkeypatch.setattr(forks, "may_copy", lambda: False)
    with processes(Resources(workers=2)) as workers:
        assert (workers.width, workers.executor.submit(os.getpid).result()) == (2, os.getpid())
