"""Which addresses of some totals have no name."""

import pyarrow as pa

from pipeline.query.unnamed import find_unnamed


def totals(*rows):
    """From (src_app, dest_app, vpc_id, bytes_tx, bytes_rx)."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    types = [pa.string()] * 3 + [pa.int64()] * 2
    names = ["src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx"]
    return pa.table([pa.array(column, type_) for column, type_ in zip(columns, types, strict=True)], names=names)


def test_an_address_has_the_bytes_of_all_flows_that_have_it_at_either_end():
    found = find_unnamed(
        totals(
            ("web", "10.0.0.1", "v", 5, 1),
            ("10.0.0.1", "db", "v", 10, 0),
            ("2001:db8::1", "10.0.0.1", "w", 100, 0),
            ("web", "db", "v", 1000, 0),
            ("10.0.0.9", "10.0.0.9", "v", 7, 0),
        ),
        top=3,
    )
    assert [tuple(row.values()) for row in found.addresses] == [
        ("10.0.0.1", "w", 100),
        ("2001:db8::1", "w", 100),
        ("10.0.0.1", "v", 16),
    ]
    assert (found.count, found.total, found.named, found.half) == (4, 1123, 1000, 16)


def test_sums_may_be_larger_than_64_bits():
    largest = 2**63 - 1
    found = find_unnamed(totals(*[("web", "10.0.0.1", "v", largest, largest)] * 3), top=1)
    assert found.addresses == [{"address": "10.0.0.1", "vpc_id": "v", "bytes": 6 * largest}]
    assert (found.total, found.half) == (6 * largest, 6 * largest)


def test_nothing_has_no_addresses():
    found = find_unnamed(totals(), top=5)
    assert (found.addresses, found.count, found.total, found.named, found.half) == ([], 0, 0, 0, 0)
