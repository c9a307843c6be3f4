"""What identifies a source."""

import gzip
import io

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counting.content import Digester, digest_of, heads_of, identify, look_at, text_of
from pipeline.counting.opened import DigestingFile
from pipeline.counting.sources import Source
from pipeline.digests import Content
from pipeline.errors import SourceChanged, UnreadableSource

sizes = st.integers(0, 300) | st.sampled_from([65_535, 65_536, 65_537, 131_072, 200_000])


def content_of(size):
    return bytes(i * i % 251 for i in range(size))


def cut(data, borders):
    ends = sorted({min(border, len(data)) for border in borders} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(sizes, st.lists(sizes, max_size=5), st.sets(sizes, max_size=5))
def test_pieces_have_the_digests_of_the_whole(size, borders, asked):
    data, digester = content_of(size), Digester(asked)
    for piece in cut(data, borders):
        digester.update(piece)
    assert digester.content() == text_of(data).content
    assert digester.heads == heads_of(data)
    assert digester.at == {size: xxhash.xxh3_128_hexdigest(data[:size]) for size in asked if size <= len(data)}


@given(sizes, sizes)
def test_whatever_starts_with_a_content_has_its_head_among_its_own(size, more):
    assert bytes.fromhex(text_of(content_of(size)).content.head) in heads_of(content_of(size + more))


@given(sizes)
def test_a_content_is_its_bytes(size):
    data = content_of(size)
    assert text_of(data).content.digest == xxhash.xxh3_128_hexdigest(data)
    assert text_of(data).content.size == size


@pytest.mark.parametrize("size", [0, 100, 70_000, 300_000, 5_000_000])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: gzip.compress(data) + gzip.compress(b"")])
def test_a_look_and_the_whole_agree_however_it_is_packed(tmp_path, size, pack):
    data, path = content_of(size), tmp_path / "x"
    path.write_bytes(pack(data))
    look, whole = look_at(Source.at(path)), identify(Source.at(path)).content()
    assert whole == text_of(data).content
    assert look.content in (None, whole)
    assert look.heads == heads_of(data)
    assert look.head == whole.head


def test_a_file_that_cannot_be_unpacked_has_no_content(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(content_of(1000))[:-9])
    for read in (look_at, identify):
        with pytest.raises(UnreadableSource, match="truncated"):
            read(Source.at(path))


def test_a_file_that_was_emptied_meanwhile_is_not_taken_for_an_empty_one(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"x")
    source = Source.at(path)
    path.write_bytes(b"")
    with pytest.raises(SourceChanged):
        look_at(source)


def test_the_digest_of_a_file_is_of_its_bytes_as_they_lie(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"x"))
    assert digest_of(Source.at(path)) == xxhash.xxh3_128_hexdigest(path.read_bytes())


class Unseekable(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation

    tell = seek


class TestDigestingFile:
    @given(
        content=st.binary(max_size=60),
        steps=st.lists(st.tuples(st.integers(0, 70), st.integers(-1, 30)), max_size=6),
        into=st.booleans(),
    )
    def test_it_has_the_digest_of_the_whole_file_however_it_was_read(self, content, steps, into):
        file = DigestingFile(io.BytesIO(content))
        for position, size in steps:
            file.seek(position)
            if into and size >= 0:
                buffer = bytearray(size)
                count = file.readinto(memoryview(buffer))
                assert bytes(buffer[:count]) == content[position : position + size]
            else:
                assert file.read(size) == (content[position:] if size < 0 else content[position : position + size])
        assert file.content() == text_of(content).content

    @given(content=st.binary(max_size=60), steps=st.lists(st.integers(-1, 30), max_size=6))
    def test_a_stream_that_cannot_seek_has_it_too(self, content, steps):
        stream = DigestingFile(Unseekable(content))
        assert not stream.seekable()
        assert content.startswith(b"".join(stream.read(size) for size in steps))
        assert stream.content() == text_of(content).content


def test_contents_that_differ_are_not_one():
    assert text_of(b"a").content != text_of(b"b").content
    assert isinstance(text_of(b"").content, Content)
