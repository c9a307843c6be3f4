"""Networks as a user names them, and which addresses lie in them."""

import ipaddress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.formats.networks import Networks, networks_given
from pipeline.schema import DICTIONARY_TEXT


def lie_in(networks, *addresses):
    return Networks(networks_given(networks)).have(pa.array(addresses, DICTIONARY_TEXT)).tolist()


def test_they_come_split_by_commas_in_several_words_and_in_files(tmp_path):
    file = tmp_path / "nets.txt"
    file.write_text("\ufeff# ours\n10.2.0.0/16  # vpc-b\n\nfd00::/8\n")
    assert networks_given(["10.1.0.0/16, 10.9.9.9", str(file)]) == ("10.1.0.0/16", "10.2.0.0/16", "10.9.9.9/32", "fd00::/8")


def test_those_that_lie_in_others_or_make_one_together_are_kept_once_in_order():
    assert networks_given(["10.1.0.0/16,10.1.2.0/24", "10.0.0.0/16", "::ffff:9.0.0.0/104"]) == ("9.0.0.0/8", "10.0.0.0/15")


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("10.1.2.3/16", "--logged: 10.1.2.3/16 has host bits set"),
        ("10.0.0.0/8,vpc-a", "--logged: 'vpc-a' is no network like 10.0.0.0/8, and no file"),
        ("10.0.0/8", "--logged: '10.0.0/8' is no network like"),
        (",", "--logged names no network"),
        (".", "--logged: '.' cannot be read"),
    ],
)
def test_what_is_none_is_refused(word, sentence):
    with pytest.raises(UsageError, match=sentence):
        networks_given([word])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("10.0.0.0/8\n10.1.0.0/8\n", "nets.txt: line 2: 10.1.0.0/8 has host bits set"),
        ("# none\n", "nets.txt has no network"),
    ],
)
def test_so_is_a_file_with_the_line_that_is_none(tmp_path, content, sentence):
    (tmp_path / "nets.txt").write_text(content)
    with pytest.raises(UsageError, match=sentence):
        networks_given([str(tmp_path / "nets.txt")])


def test_an_address_lies_in_one_however_it_is_written():
    addresses = ("10.1.2.3", "::ffff:10.1.2.3", "10.2.0.0", "fd00:0:0::1", "fe00::", "x", None, "")
    assert lie_in(["10.1.0.0/16,fd00::/8"], *addresses) == [True, True, False, True, False, False, False, False]


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), min_size=1, max_size=5), st.integers(0, 255))
def test_it_is_as_the_standard_library_says(networks, last):
    texts = [str(ipaddress.ip_network((f"10.0.0.{number}", length), strict=False)) for number, length in networks]
    address = ipaddress.ip_address(f"10.0.0.{last}")
    assert lie_in(texts, str(address)) == [any(address in ipaddress.ip_network(text) for text in texts)]
