"""Which of Zeek's logs a file or a record is of. flowlog reads conn.log; the others are left alone, or refused by name."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from pipeline.errors import OtherLog, UnknownFormat

CONN = "conn"
#: Names of logs that repeat what conn.log will have in the end.
GROWING = re.compile(r"open_conn|conn_long")
_PART = re.compile(r"(?:^|[^a-z])conn(?:$|[^a-z])")
#: The fields of the record `id`, whatever Zeek's `Log::default_scope_sep` puts between the two names. Shippers whose databases
#: have trouble with dots write `id_orig_h`.
_SCOPED = re.compile(r"id[^A-Za-z0-9]{1,3}((?:orig|resp)_[hp])")
#: What every conn.log has, and what Zeek's other logs have not.
ADDRESSES, OF_CONN = {"ts", "id.orig_h", "id.resp_h"}, {"conn_state", "orig_bytes", "orig_ip_bytes"}
#: What tells Zeek's other logs, as its documentation has them, where nothing else does: some of their fields.
_TYPICAL = {
    "dns": {"ts", "uid", "query", "trans_id"},
    "http": {"ts", "uid", "trans_depth", "request_body_len"},
    "smtp": {"ts", "uid", "trans_depth", "helo"},
    "ssl": {"ts", "uid", "established", "resumed"},
    "ssh": {"ts", "uid", "auth_attempts"},
    "files": {"ts", "fuid", "seen_bytes"},
    "x509": {"ts", "certificate.serial"},
    "weird": {"ts", "name", "notice", "peer"},
    "notice": {"ts", "note", "msg"},
    "dhcp": {"ts", "uids", "msg_types"},
    "ntp": {"ts", "uid", "stratum"},
    "software": {"ts", "software_type"},
    "tunnel": {"ts", "tunnel_type"},
    "capture_loss": {"ts", "percent_lost"},
    "stats": {"ts", "pkts_proc"},
}


def is_conn(path: object, is_named: bool) -> bool:
    """Whether a log is conn.log, or a part of it.

    Args:
        path: The log's name. A filter of Zeek's may write a part of conn.log under another one, as `conn_internal`, or
            everything once more. An `open_conn` or a `conn_long` log repeats what conn.log will have in the end.
        is_named: Whether the user says that it is a conn.log.

    Raises:
        UnknownFormat: It is a part, and the user must say whether it counts.
    """
    if path in (None, CONN):
        return True
    is_part = bool(_PART.search(str(path))) and not GROWING.search(str(path))
    if is_part and not is_named:
        raise UnknownFormat(f"a Zeek {path} log", "if no other log has its connections, too, read it with --format zeek")
    return is_part


def require_conn(path: object, is_named: bool, has_conn: bool = False) -> None:
    """Refuses Zeek's other logs (see `is_conn`).

    Args:
        path: The log's name.
        is_named: Whether the user says that it is a conn.log.
        has_conn: Whether the file has a conn.log, too: then it is no other log, which a folder may hold, or that would be lost.
    """
    if is_conn(path, is_named):
        return
    if has_conn:
        raise UnknownFormat(f"a Zeek {path} log joined with a conn.log", "ingest the logs that were joined here one by one")
    raise OtherLog(f"a Zeek {path} log", "flowlog reads conn.log only")


def log_of(fields: AbstractSet[str]) -> str | None:
    """Which log a record with these fields is of, where they tell."""
    other = next((name for name, typical in _TYPICAL.items() if typical <= fields), None)
    return other or (CONN if fields >= ADDRESSES and fields & OF_CONN else None)


def unscoped(field: str) -> str:
    """The name of a field as Zeek writes it by default."""
    match = _SCOPED.fullmatch(field)
    return f"id.{match[1]}" if match else field
