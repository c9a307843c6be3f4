"""Who opened the connection of a one-way record."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.record import is_answer

NONE = -1
SYN, SYN_ACK, FIN, RST, ACK = 2, 18, 1, 4, 16
ports = st.one_of(st.sampled_from([NONE, 0, 22, 1023, 1024, 32767, 32768, 65535]), st.integers(0, 65535))


def answers(src_port, dst_port, flags=0):
    return bool(is_answer(*(np.array([number]) for number in (src_port, dst_port, flags)))[0])


@pytest.mark.parametrize(
    ("src_port", "dst_port", "flags", "expected"),
    [
        # by ports: the server has the smaller one, where it is below 1024 or the other is at least 32768
        (443, 49152, 0, True),
        (49152, 443, 0, False),
        (1023, 1024, 0, True),
        (1024, 1023, 0, False),
        (8080, 32768, 0, True),
        (32768, 8080, 0, False),
        (40000, 50000, 0, True),
        (0, 5000, 0, True),
        # where ports say nothing the record stays as it is
        (1024, 32767, 0, False),
        (32767, 1024, 0, False),
        (5000, 6000, 0, False),
        (443, 443, 0, False),
        (0, 0, 0, False),  # ICMP
        (NONE, NONE, 0, False),
        (NONE, 443, 0, False),
        (443, NONE, 0, False),
        # flags decide first
        (49152, 443, SYN, False),
        (443, 49152, SYN, False),
        (443, 49152, SYN | FIN, False),
        (49152, 443, SYN_ACK, True),
        (49152, 443, SYN_ACK | FIN, True),
        (443, 49152, SYN_ACK, True),
        (5000, 6000, SYN_ACK, True),
        (NONE, NONE, SYN_ACK, True),
        # flags without a SYN say nothing
        (443, 49152, FIN, True),
        (49152, 443, FIN | RST, False),
        (443, 49152, ACK, True),
        (49152, 443, ACK, False),
    ],
)
def test_who_answers(src_port, dst_port, flags, expected):
    assert answers(src_port, dst_port, flags) is expected


@settings(deadline=None)
@given(ports, ports, st.integers(0, 255))
def test_at_most_one_of_a_connection_s_two_directions_is_the_answer(one, other, flags):
    silent = flags & ~(SYN | ACK)
    assert not (answers(one, other, silent) and answers(other, one, silent))


@settings(deadline=None)
@given(ports, ports)
def test_a_connection_s_opening_and_its_answer_are_told_apart_by_their_flags(one, other):
    assert not answers(one, other, SYN)
    assert answers(other, one, SYN_ACK)


def test_a_column_is_judged_row_by_row():
    found = is_answer(np.array([443, 49152, 5000]), np.array([49152, 443, 6000]), np.array([0, 0, SYN_ACK]))
    assert found.tolist() == [True, False, True]
    assert is_answer(*[np.array([], np.int64)] * 3).tolist() == []
