"""Which addresses have no name yet: an app that is an address is one that neither the mapping file nor the log names."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.query.sums import total_bytes

#: Wide enough for the sums of both directions over all hours.
_WIDE = pa.decimal128(38, 0)


@dataclass(frozen=True)
class Unnamed:
    """What part of the bytes has names, and what has none.

    Attributes:
        addresses: The addresses without a name: `address`, `vpc_id` and `bytes`, which are those of all flows that have it at
            either end; those with the most bytes first.
        count: How many there are in all, each counted once a VPC.
        total: The bytes of all flows.
        named: The bytes of the flows whose both ends have a name.
        half: The bytes of the flows of which one end has a name.
    """

    addresses: list[dict[str, object]]
    count: int
    total: int
    named: int
    half: int


def find_unnamed(totals: pa.Table, top: int) -> Unnamed:
    """Looks through totals.

    Args:
        totals: With `src_app`, `dest_app`, `vpc_id`, `bytes_tx` and `bytes_rx`.
        top: How many addresses to give at the most.
    """
    sizes = total_bytes(totals).cast(_WIDE)
    src, dest = (_are_addresses(totals.column(name)) for name in ("src_app", "dest_app"))

    def size_of(mask: pa.ChunkedArray) -> int:
        return int(pc.sum(sizes.filter(mask)).as_py() or 0)

    is_loop = pc.equal(totals.column("src_app"), totals.column("dest_app"))  # one address at both ends counts once
    ends = []
    for name, mask in (("src_app", src), ("dest_app", pc.and_not(dest, is_loop))):
        end = pa.table([totals.column(name), totals.column("vpc_id"), sizes], names=["address", "vpc_id", "bytes"])
        ends.append(end.filter(mask))
    found = pa.concat_tables(ends).group_by(["address", "vpc_id"], use_threads=False).aggregate([("bytes", "sum")])
    rows = [
        {"address": row["address"], "vpc_id": row["vpc_id"], "bytes": int(row["bytes_sum"])} for row in found.to_pylist()
    ]
    rows.sort(key=lambda row: (-row["bytes"], row["address"], row["vpc_id"]))
    return Unnamed(
        rows[:top],
        count=len(rows),
        total=int(pc.sum(sizes).as_py() or 0),
        named=size_of(pc.invert(pc.or_(src, dest))),
        half=size_of(pc.xor(src, dest)),
    )


def _are_addresses(apps: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which rows have an app that is an address."""
    distinct = apps.unique()
    return pc.is_in(apps, distinct.filter(pa.array(map(_is_address, distinct.to_pylist()), pa.bool_())))


def _is_address(app: str) -> bool:
    try:
        ipaddress.ip_address(app)
    except ValueError:
        return False
    return True
