"""What a raw text says, told line by line in plain Python: slow, short, and without a line of the readers' code.

It knows the fields that the tests write, no direction, no mapping and no escapes; the tests write nothing else.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from dataclasses import dataclass, field

AWS_FIELDS = {"version", "srcaddr", "dstaddr", "srcport", "dstport", "bytes", "start", "action", "log-status", "tgw-id"}
SECONDS_OF_1990 = 631_152_000
CSV_COLUMNS = ["hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx"]


class Fails(Exception):
    """The file as a whole cannot be counted."""


@dataclass
class Said:
    """What a text says.

    Attributes:
        sums: (hour, source, destination, column) -> bytes.
        rows: How many rows were counted, rejected and ignored.
    """

    sums: Counter[tuple[int, str, str, str]] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    def add(self, hour: int, src: str, dest: str, tx: int, rx: int) -> None:
        self.rows["counted"] += 1
        self.sums[hour, src, dest, "bytes_tx"] += tx
        self.sums[hour, src, dest, "bytes_rx"] += rx


def said_by(text: bytes) -> Said:
    """Reads a text of AWS, Zeek or CSV.

    Raises:
        Fails: It is of none of these, or says something that nobody may guess.
    """
    lines = [line.removeprefix(b"\xef\xbb\xbf").decode() for line in text.split(b"\n")]
    first = next((line for line in lines if line), "")
    if first.startswith("#"):
        return _zeek(lines)
    if "," in first:
        return _csv(lines)
    return _aws(lines)


def _aws(lines: list[str]) -> Said:
    said, names = Said(), []
    for line in lines:
        cells = [cell.replace("_", "-") for cell in line.split()]
        known = AWS_FIELDS.intersection(cells)
        if "tgw-id" in known:  # without a flow-direction
            raise Fails
        if len(known) > 1:
            if not known.issuperset(cells) or not known.issuperset({"srcaddr", "dstaddr", "bytes", "start"}):
                raise Fails
            names = cells
        elif cells:
            row = dict(zip(names, cells, strict=False)) if len(cells) == len(names) else {}
            if row and (row["log-status"] == "NODATA" or row["action"] == "REJECT"):
                said.rows["ignored"] += 1
            elif (
                row
                and all(map(_is_address, (row["srcaddr"], row["dstaddr"])))
                and _are_counts(row["bytes"], row["start"])
                and int(row["start"]) >= SECONDS_OF_1990
            ):
                said.add(int(row["start"]) // 3600, row["srcaddr"], row["dstaddr"], int(row["bytes"]), 0)
            else:
                said.rows["rejected"] += 1
    return said


def _zeek(lines: list[str]) -> Said:
    said, names = Said(), []
    for line in lines:
        if "#" in line[1:]:
            raise Fails
        directive, *values = line.split("\t")
        if line.startswith("#separator"):
            names = []
        elif directive == "#path" and values != ["conn"]:
            raise Fails
        elif directive == "#fields":
            names = values
        elif line and not line.startswith("#"):
            if not names:
                raise Fails
            row = dict(zip(names, line.split("\t"), strict=False)) if line.count("\t") + 1 == len(names) else {}
            addresses = row.get("id.orig_h", ""), row.get("id.resp_h", "")
            if all(map(_is_address, addresses)) and _are_counts(row["ts"], row["orig_bytes"], row["resp_bytes"]):
                said.add(int(row["ts"]) // 3600, *addresses, int(row["orig_bytes"]), int(row["resp_bytes"]))
            else:
                said.rows["rejected"] += 1
    return said


def _csv(lines: list[str]) -> Said:
    said, names = Said(), []
    for line in lines:
        cells = line.split(",")
        if len({*CSV_COLUMNS}.intersection(cells)) > 3:
            if names or len(set(cells)) < len(cells):
                raise Fails
            names = cells
        elif line:
            row = dict(zip(names, cells, strict=False)) if len(cells) == len(names) else {}
            if row and _are_counts(row["bytes_tx"], row["bytes_rx"], row["hour"]) and row["src_app"] and int(row["hour"]):
                said.add(int(row["hour"]), row["src_app"], row["dest_app"], int(row["bytes_tx"]), int(row["bytes_rx"]))
            else:
                said.rows["rejected"] += 1
    return said


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _are_counts(*texts: str) -> bool:
    return all(re.fullmatch("[0-9]{1,15}", text) for text in texts)
