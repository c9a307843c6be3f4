"""An object as a file: the same bytes as from a disk, each asked for once."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counting import ranged
from pipeline.counting.ranged import RangedFile
from pipeline.errors import SourceChanged

MOVES = st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, 40), st.integers(-1, 60)), max_size=12)


class Asked:
    """Bytes elsewhere, and the ranges for which they were asked."""

    def __init__(self, data):
        self.data, self.ranges = data, []

    def __call__(self, start, stop):
        self.ranges.append((start, stop))
        return self.data[start:stop]

    @property
    def bytes(self):
        return sum(stop - start for start, stop in self.ranges)


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranged, "_BLOCK", 8)
        yield


def opened(data, first):
    asked = Asked(data)
    return RangedFile(data[:first], len(data), asked), asked


@given(data=st.binary(max_size=100), first=st.integers(0, 20), moves=MOVES, is_parquet=st.booleans())
def test_it_reads_as_a_file_does_wherever_one_goes(data, first, moves, is_parquet):
    data = b"PAR1" * is_parquet + data
    file, _ = opened(data, first + 4)
    plain = io.BytesIO(data)
    with file:
        for whence, offset, size in moves:
            place = offset if whence == 0 else min(offset, plain.tell()) * -1 if whence == 1 else -min(offset, len(data))
            assert file.seek(place, whence) == plain.seek(place, whence)
            assert file.read(size) == plain.read(size)
            assert file.tell() == plain.tell()


@pytest.mark.parametrize("size", [0, 5, 8, 63, 64, 65])
def test_what_is_read_in_order_is_asked_for_once(size):
    data = bytes(range(size))
    file, asked = opened(data, 5)
    with file:
        assert b"".join(iter(lambda: file.read(3), b"")) == data
    assert sorted(asked.ranges) == [(max(start, 5), min(start + 8, size)) for start in range(0, size, 8) if size > 5]


def test_what_the_first_bytes_hold_is_not_asked_for():
    file, asked = opened(bytes(100), 20)
    with file:
        file.read(20)
    assert asked.ranges == []


def test_a_look_at_the_end_asks_for_no_more_than_that():
    file, asked = opened(bytes(100), 5)
    with file:
        file.seek(-3, io.SEEK_END)
        file.read()
    assert asked.ranges == [(96, 100)]


def test_parquet_is_asked_for_once_however_often_it_is_read():
    data = b"PAR1" + bytes(range(200))
    file, asked = opened(data, 5)
    with file:
        for _ in range(3):
            file.seek(0)
            assert file.read() == data
    assert asked.bytes == len(data) - 5


def test_what_the_bucket_says_the_reader_hears():
    def refuse(start, stop):
        raise SourceChanged

    with RangedFile(b"ab", 10, refuse) as file, pytest.raises(SourceChanged):
        file.read()
