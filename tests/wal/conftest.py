"""A store whose log is written by hand."""

import pytest

from pipeline.digests import digest_of_bytes
from pipeline.store.layout import Locations
from pipeline.wal.segments import Mark, SegmentWriter, seal

LINE = b'{"src_app":"a","dest_app":"b","vpc_id":"v","bytes_tx":1,"bytes_rx":2,"hour":%d}\n'


@pytest.fixture
def store(tmp_path):
    store = Locations(tmp_path / "store")
    store.wal.mkdir(parents=True)
    return store


def request(number, key=None):
    """An entry of so many records."""
    lines = b"".join(LINE % (hour + 1) for hour in range(number))
    return seal(lines, Mark(f"s-{number}", 1000 + number, key, None if key is None else digest_of_bytes(lines)))


def write(store, *requests):
    """A segment with some entries; its name."""
    writer = SegmentWriter(store, "reject")
    writer.append(b"".join(requests))
    writer.close()
    return writer.name
