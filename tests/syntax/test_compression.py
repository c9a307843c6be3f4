"""Compressed raw files: told by their first bytes, and read to their end or not at all."""

import bz2
import gc
import gzip
import io
import lzma
import struct
import zipfile

import pyarrow as pa
import pytest

from pipeline.errors import SourceError, UnknownFormat, UnreadableSource
from pipeline.syntax.compression import _inflated_whole, decompressed, decompressed_small

TEXT = b"".join(b"%d,foo,bar,vpc-%d\n" % (i, i * i % 97) for i in range(60))
COMPRESS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
codecs = pytest.mark.parametrize("codec", COMPRESS)


def content(data):
    return decompressed(io.BytesIO(data)).read()


def zipped(data):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("flows.csv", data)
    return target.getvalue()


@codecs
def test_the_content_comes_out_as_it_went_in(codec):
    assert content(COMPRESS[codec](TEXT)) == TEXT
    assert content(COMPRESS[codec](b"")) == b""


@codecs
def test_a_file_may_have_many_members(codec):
    members = [COMPRESS[codec](part) for part in (TEXT, b"more\n", b"the end\n")]
    assert content(b"".join(members)) == TEXT + b"more\nthe end\n"


@codecs
def test_an_empty_member_in_between_is_read_or_refused(codec):
    members = [COMPRESS[codec](part) for part in (TEXT, b"", b"the end\n")]
    try:
        found = content(b"".join(members))
    except UnreadableSource:
        return
    assert found == TEXT + b"the end\n"


@codecs
def test_a_stream_cut_off_anywhere_is_unreadable(codec):
    whole = COMPRESS[codec](TEXT)
    for length in range(6, len(whole)):
        with pytest.raises(UnreadableSource, match=codec):
            content(whole[:length])


@codecs
def test_a_second_member_cut_off_anywhere_is_unreadable(codec):
    first, second = COMPRESS[codec](b"first\n"), COMPRESS[codec](b"second\n")
    assert content(first + second) == b"first\nsecond\n"
    for length in range(1, len(second)):
        with pytest.raises(UnreadableSource, match=codec):
            content(first + second[:length])


def test_a_truncated_gzip_is_said_to_stop_short():
    with pytest.raises(UnreadableSource, match=r"the gzip stream stops short \(truncated\)"):
        content(COMPRESS["gzip"](TEXT)[:-1])


@pytest.mark.parametrize("codec", ["gzip", "bz2"])  # zstd's checksum is optional, and most writers leave it out
def test_a_flipped_bit_never_gives_other_content(codec):
    whole = COMPRESS[codec](TEXT)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        try:
            found = content(bytes(damaged))
        except SourceError:
            continue
        assert found in (TEXT, bytes(damaged))  # a byte that says nothing (the time), or no longer compressed at all


def test_a_flipped_bit_in_the_checksum_is_noticed():
    damaged = bytearray(COMPRESS["gzip"](TEXT))
    damaged[-6] ^= 1  # its last eight bytes are the checksum and the length
    with pytest.raises(UnreadableSource, match="the gzip stream is damaged"):
        content(bytes(damaged))


@codecs
def test_more_bytes_behind_the_end_are_unreadable(codec):
    with pytest.raises(UnreadableSource, match=codec):
        content(COMPRESS[codec](TEXT) + b"more text")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (lzma.compress(TEXT), "xz"),
        (zipped(TEXT), "zip"),
        (pa.compress(TEXT, codec="lz4", asbytes=True), "lz4"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z"),
    ],
)
def test_a_packing_that_is_not_read_is_refused_by_name(data, name):
    with pytest.raises(UnknownFormat, match=f"a {name} file; unpack it, or pack it with gzip, zstd or bzip2"):
        content(data)


def skippable(content=b"\1\1\1\1", kind=0):
    """A frame that readers of zstd skip; pzstd writes one before each of its frames."""
    return struct.pack("<II", 0x184D2A50 + kind, len(content)) + content


ZSTD = COMPRESS["zstd"](TEXT)


@pytest.mark.parametrize(
    ("data", "times"),
    [
        (skippable() + ZSTD, 1),
        (skippable(kind=15) + skippable(b"") + ZSTD, 1),
        (skippable() + ZSTD + skippable(bytes(300_000)) + ZSTD, 2),
        (ZSTD + skippable(), 1),
    ],
)
def test_zstd_may_have_frames_to_be_skipped_anywhere(data, times):
    assert content(data) == TEXT * times
    assert decompressed_small(data, 1 << 20) is None  # and nobody takes it for text


def test_frames_to_be_skipped_may_be_lz4_s_too():
    with pytest.raises(UnknownFormat, match="a lz4 file; unpack it"):
        content(skippable() + pa.compress(TEXT, codec="lz4", asbytes=True))


@pytest.mark.parametrize("data", [skippable(), skippable()[:7], skippable()[:-1], skippable() + ZSTD[:-1]])
def test_frames_to_be_skipped_and_nothing_behind_them_stop_short(data):
    with pytest.raises(UnreadableSource, match=r"stops short \(truncated\)"):
        content(data)


@pytest.mark.parametrize("zeros", [1, 7, 512, 100_000])
def test_zeros_behind_gzip_are_padding(zeros):
    """Tapes and block devices leave them, and gunzip ignores them."""
    assert content(COMPRESS["gzip"](TEXT) + bytes(zeros)) == TEXT
    assert content(COMPRESS["gzip"](TEXT) + bytes(zeros) + COMPRESS["gzip"](TEXT)) == TEXT * 2


@pytest.mark.parametrize("data", [b"", b"a", b"\x1f", b"BZ", b"hour,src_app\n"])
def test_a_file_that_is_not_compressed_is_given_as_it_is(data):
    raw = io.BytesIO(data)
    assert decompressed(raw) is raw
    assert raw.read() == data


@codecs
def test_the_raw_file_stays_open(codec):
    raw = io.BytesIO(COMPRESS[codec](TEXT))
    stream = decompressed(raw)
    assert stream.read() == TEXT
    del stream
    gc.collect()
    assert not raw.closed


def test_a_packed_stream_says_that_it_cannot_seek():
    assert not decompressed(io.BytesIO(COMPRESS["gzip"](TEXT))).seekable()


@pytest.mark.parametrize("outer", COMPRESS)
@pytest.mark.parametrize("inner", COMPRESS)
def test_what_was_packed_twice_is_unpacked_twice(inner, outer):
    text = b"hello " * 100_000
    assert content(COMPRESS[outer](COMPRESS[inner](text))) == text
    assert content(COMPRESS[outer](COMPRESS[inner](text) * 2)) == text * 2
    with pytest.raises(UnreadableSource):
        content(COMPRESS[outer](COMPRESS[inner](text)[:-5]))
    with pytest.raises(UnreadableSource):
        content(COMPRESS[outer](COMPRESS[inner](text))[:-5])


def test_a_file_that_unpacks_for_ever_is_refused():
    data = b"hello"
    for _ in range(4):
        data = gzip.compress(data)
    assert content(data) == b"hello"
    with pytest.raises(UnknownFormat, match="packed more than 4 times; unpack it"):
        content(gzip.compress(data))


def test_what_is_packed_within_is_named():
    with pytest.raises(UnknownFormat, match="xz file"):
        content(gzip.compress(b"\xfd7zXZ\x00rest"))


@codecs
def test_frames_to_be_skipped_may_stand_within_another_packing(codec):
    assert content(COMPRESS[codec](skippable() + ZSTD)) == TEXT
    assert content(COMPRESS[codec](skippable(bytes(300_000)) + ZSTD + skippable())) == TEXT


@pytest.mark.parametrize("inner", [gzip.compress(b"hello"), skippable() + ZSTD], ids=["gzip", "zstd"])
def test_a_small_file_that_was_packed_twice_is_not_taken_for_text(inner):
    assert decompressed_small(gzip.compress(inner), 1000) is None


def _with_name(data):
    packed = io.BytesIO()
    with gzip.GzipFile("flows.csv", "wb", fileobj=packed, mtime=0) as file:
        file.write(data)
    return packed.getvalue()


_MEMBER = COMPRESS["gzip"](TEXT)
_IN_PIECES = {
    "two that are equal": _MEMBER * 2,
    "two of one size": _MEMBER + COMPRESS["gzip"](TEXT[::-1]),
    "an empty one behind": _MEMBER + COMPRESS["gzip"](b""),
    "zeros behind": _MEMBER + bytes(7),
    "other bytes behind": _MEMBER + b"rest",
    "the size behind": _MEMBER + _MEMBER[-4:],
    "a wrong checksum": _MEMBER[:-8] + bytes(4) + _MEMBER[-4:],
    "a wrong size": _MEMBER[:-4] + (len(TEXT) + 1).to_bytes(4, "little"),
    "cut off": _MEMBER[: len(_MEMBER) // 2],
    "a checksum of the header": b"\x1f\x8b\x08\x02" + _MEMBER[4:10] + b"??" + _MEMBER[10:],
    "nothing": COMPRESS["gzip"](b""),
    "its start": _MEMBER[:9],
}


@pytest.mark.parametrize("case", _IN_PIECES)
def test_what_is_no_single_sound_member_is_never_unpacked_at_once(case, tmp_path):
    path = tmp_path / "flows.gz"
    path.write_bytes(_IN_PIECES[case])

    def outcome(to_end):
        try:
            with path.open("rb") as file:
                return decompressed(file, to_end).read()
        except UnreadableSource as error:
            return str(error)

    assert _inflated_whole(_IN_PIECES[case], 1 << 20) is None
    assert outcome(to_end=True) == outcome(to_end=False)


@pytest.mark.parametrize("data", [_MEMBER, _with_name(TEXT)], ids=["bare", "named"])
def test_a_single_member_is_unpacked_at_once(data, tmp_path):
    path = tmp_path / "flows.gz"
    path.write_bytes(data)
    with path.open("rb") as file:
        stream = decompressed(file, to_end=True)
        assert stream.seekable()
        assert stream.read(4) + stream.read() + stream.read() == TEXT
        assert stream.tell() == len(TEXT)
        assert stream.seek(-3, io.SEEK_END) == len(TEXT) - 3
        assert stream.read(10) == TEXT[-3:]


def test_what_was_unpacked_at_once_may_be_packed_itself(tmp_path):
    path = tmp_path / "flows.gz.gz"
    path.write_bytes(gzip.compress(gzip.compress(TEXT)))
    with path.open("rb") as file:
        assert decompressed(file, to_end=True).read() == TEXT


def test_a_content_that_is_too_large_is_not_unpacked_at_once():
    assert _inflated_whole(_MEMBER, len(TEXT)) == TEXT
    assert _inflated_whole(_MEMBER, len(TEXT) - 1) is None
