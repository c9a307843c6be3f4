"""What a log's record says, in the terms that all formats share: what a format makes of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.kernel.records import answers
from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.batch import Batch, Integers, Mask


@dataclass(frozen=True)
class Endpoint:
    """One end of the flows.

    Attributes:
        addresses: The columns that may have its IP address; in each row the first that has a value counts.
        app: The app that the log names, null in the rows in which it names none; None if it never does. It counts where the
            mapping file does not name the address, or where the row has no address.
        named: Where given, the log names the app in these rows alone, if it is not null.
    """

    addresses: tuple[str, ...]
    app: pa.DictionaryArray | None = None
    named: Mask | None = None

    def of_rows(self, kept: Mask) -> Endpoint:
        """The same for some of the rows, as the mask says."""
        app = None if self.app is None else self.app.filter(pa.array(kept))
        return replace(self, app=app, named=None if self.named is None else self.named[kept])


@dataclass(frozen=True)
class Reporter:
    """Who reports the records: a log that is written at interfaces has a flow between two of them twice.

    The decision about a record depends on the record and the options alone, so that the order and the number of files change
    nothing.

    Attributes:
        other: The rows whose bytes another record has, by the format's own rule.
        sender: The rows that the sender's interface reports; None where the log does not tell.
        receiver: The rows that the receiver's interface reports, where nothing in the record tells whether the sender's reports
            the same bytes: the user says which networks are logged (`--logged`).
        interface: What names the reporting interface, as dictionary-encoded text; None where the log does not.
        untold: The rows that do not tell at which end they were reported, of a log whose rows do; None where that is never so.
    """

    other: Mask | None = None
    sender: Mask | None = None
    receiver: Mask | None = None
    interface: pa.DictionaryArray | None = None
    untold: Mask | None = None

    def without_end(self, count: int) -> Mask:
        """Which of so many rows do not tell at which end of a flow they were reported."""
        if self.untold is not None:
            return self.untold
        return np.full(count, self.other is None and self.sender is None and self.receiver is None)

    def of_rows(self, kept: Mask) -> Reporter:
        """The same for some of the rows, as the mask says."""

        def of(mask: Mask | None) -> Mask | None:
            return None if mask is None else mask[kept]

        interface = None if self.interface is None else self.interface.filter(pa.array(kept))
        return Reporter(of(self.other), of(self.sender), of(self.receiver), interface, of(self.untold))


@dataclass(frozen=True)
class Record:
    """The records of a batch, column by column. `conversion.to_flows` makes flow records of them.

    Rows that are ignored, as they report no traffic or no flow, are taken out of the batch before its record is made: there are
    logs in which they are nine of ten, and columns without nulls are several times as fast.

    A column that may be at fault is given by the name that the file has for it, which a reject shows; what a format computes
    is given as an array, with one value for each row of the batch.

    Attributes:
        start: The column of the time at which the flow started: seconds, milliseconds, microseconds or nanoseconds since 1970.
        src: The sender.
        dst: The receiver.
        sent: Bytes from src to dst (int64).
        received: Bytes from dst to src (int64); None where the answer is a record of its own.
        required: The columns without which a row is rejected, in the order in which faults are looked for.
        vpc: The VPC that the record names, as dictionary-encoded text; null or None where it names none.
        owner: What stands for the VPC where neither the record nor the user names it, as an account.
        answer: Which rows go from the server to the client; None where src always is the client, or nothing tells.
        end: The column of the time at which the flow ended, in a unit as that of `start`; None where the log has none.
        duration: The column of how long the flow lasted, in seconds, which counts where there is no end; None where the log has
            none.
        reporter: Who reports the records; None where the log is not written at interfaces.
        scaled: The rows whose bytes were multiplied by a sampling factor of the record; None where no row may be.
    """

    start: str
    src: Endpoint
    dst: Endpoint
    sent: pa.Array
    received: pa.Array | None = None
    required: tuple[str, ...] = ()
    vpc: pa.DictionaryArray | None = None
    owner: pa.DictionaryArray | None = None
    answer: Mask | None = None
    end: str | None = None
    duration: str | None = None
    reporter: Reporter | None = None
    scaled: Mask | None = None

    def of_rows(self, kept: Mask) -> Record:
        """The same for some of the rows, as the mask says."""
        mask = pa.array(kept)

        def of(column: pa.Array | None) -> pa.Array | None:
            return None if column is None else column.filter(mask)

        return replace(
            self,
            src=self.src.of_rows(kept),
            dst=self.dst.of_rows(kept),
            sent=of(self.sent),
            received=of(self.received),
            vpc=of(self.vpc),
            owner=of(self.owner),
            answer=None if self.answer is None else self.answer[kept],
            reporter=None if self.reporter is None else self.reporter.of_rows(kept),
            scaled=None if self.scaled is None else self.scaled[kept],
        )


def rule_of_words(words: Sequence[str]) -> str:
    """The rule that a text breaks which is none of these words, of which there are two at least, as a user reads it."""
    return f"must be {', '.join(words[:-1])} or {words[-1]}"


def column_of(batch: Batch, name: str, type_: pa.DataType) -> pa.Array:
    """A column in one piece; all null where the file does not have the column."""
    place = batch.table.schema.get_field_index(name)  # to look among the names would make a list of them
    if place < 0:
        return pa.nulls(batch.table.num_rows, type_)
    column = batch.table.column(place)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies, in any case


def texts_of(batch: Batch, name: str) -> pa.DictionaryArray:
    """A column of dictionary-encoded text; all null where the file does not have the column."""
    return column_of(batch, name, DICTIONARY_TEXT)


def integers_of(batch: Batch, name: str, missing: int) -> Integers:
    """A column of integers, with a number for each null."""
    return numbers_of(column_of(batch, name, pa.int64()), missing)


def numbers_of(column: pa.Array, missing: int = 0) -> npt.NDArray[Any]:
    """The numbers of a column, int64 or float64, with a number for each null."""
    return (column.fill_null(missing) if column.null_count else column).to_numpy()


_WELL_KNOWN_PORTS = 1024  # RFC 6335: 0 to 1023 belong to services
_EPHEMERAL_PORTS = 32768  # where Linux starts to number its clients' ports
_PORT = r"^[1-9][0-9]{0,4}$"


def ports_of(batch: Batch, name: str) -> Integers:
    """A column of ports, as integers or as text; -1 for null, for 0, and for what stands there of ICMP, as "8.0"."""
    if name not in batch.table.column_names:
        return np.full(batch.table.num_rows, -1, np.int64)
    if pa.types.is_integer(batch.table.schema.field(name).type):
        ports = integers_of(batch, name, -1)
        return ports if ports.min(initial=1) > 0 else np.where(ports > 0, ports, -1)
    texts = texts_of(batch, name)
    numbers = pc.if_else(pc.match_substring_regex(texts.dictionary, _PORT), texts.dictionary, "-1").cast(pa.int64())
    codes = pc.fill_null(texts.indices, len(numbers)).to_numpy()
    return np.append(numbers.to_numpy(), -1)[codes]


def is_answer(src_port: Integers, dst_port: Integers, tcp_flags: Integers | None = None) -> Mask:
    """Which records go from the server to the client.

    Args:
        src_port: The sender's port; -1 where the log has none.
        dst_port: The receiver's port; -1 where the log has none.
        tcp_flags: The record's TCP flags, 0 where the record has none; None where the log has none.

    Returns:
        True where the flags say so (a SYN with its ACK comes from the server, a SYN alone from the client), or, where
        the flags say nothing, the ports: the server has the smaller port, if that is well-known or the other is ephemeral.
    """
    return answers(src_port, dst_port, tcp_flags, _WELL_KNOWN_PORTS, _EPHEMERAL_PORTS)
