"""Folders with the example, and stores that have counted it."""

import threading

import pytest

from pipeline.flowstore import FlowStore
from tests.cli.example import fill, write_example


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the example in data/raw, where a checkout has its sample."""
    monkeypatch.chdir(tmp_path)
    write_example("flows.csv", tmp_path / "data" / "raw")
    return tmp_path


@pytest.fixture
def store(folder, unsynced):
    """A store in data/store, to be changed."""
    fill(folder)
    return FlowStore("data/store")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    fill(folder)
    return folder


@pytest.fixture
def reading(filled, monkeypatch):
    """The current folder, with the same store in data/store, for commands that change nothing."""
    monkeypatch.chdir(filled)
    return filled


@pytest.fixture
def no_threads():
    """The system refuses each thread, as it does where a limit of processes is reached: there is no room for such a stack."""
    before = threading.stack_size(1 << 46)
    yield
    threading.stack_size(before)
