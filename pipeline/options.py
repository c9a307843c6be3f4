"""The options of reading and of ingesting, each declared once (see `declarations`), as a field of a dataclass.

From a declaration come the command line's parameter (`cli.arguments`), the environment variable, README's table
(`python -m pipeline.options` prints it), and what the ledger keeps (`ReadOptions.to_json`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pipeline.declarations import QUIET, WAIT, ZERO_BYTES, Option, declared
from pipeline.errors import UsageError
from pipeline.scalars import ZeroBytes, parse_size
from pipeline.zones import DEFAULT_ZONE

RawFormat = Literal[
    "auto",
    "csv",
    "json",
    "parquet",
    "aws-vpc",
    "aws-tgw",
    "ocsf",
    "azure",
    "gcp",
    "zeek",
    "suricata",
    "netobserv",
    "silk",
    "argus",
    "pmacct",
    "nfdump",
    "goflow2",
]  # a test holds these against the readers
SameContent = Literal["skip", "count"]
BothEnds = Literal["once", "count"]
Spread = Literal["start", "hours"]
On = Literal["threads", "dask"]


AWS_FIELDS = Option(
    "--aws-fields",
    "Fields of AWS text without a header line, in order, split by spaces. Text that is of no other format is then AWS's."
    " Short for --set aws-vpc.fields=FIELDS, or aws-tgw.fields where they are a Transit Gateway's.",
    "FIELDS",
)
METRICS_FILE = Option(
    "--metrics-file",
    "Write what the run did to a file for node_exporter's textfile collector, which wants a name in .prom; also where the run"
    " fails.",
    "FILE",
)
_OF_GATEWAY = r"\b(?:tgw|transit[-_]gateway)[-_]"


def setting_of_aws(fields: str) -> str:
    """The setting for which `--aws-fields` is short."""
    return "aws-tgw.fields" if re.search(_OF_GATEWAY, fields) else "aws-vpc.fields"


@dataclass(frozen=True)
class ReadOptions:
    """What decides, beside its bytes, what a source counts as. The ledger keeps it, so that it can be counted again.

    `apps_digest` is the digest of the mapping file's bytes. It is no option: `reading.resolved` finds it. `logged` and `hop`
    are as the user gives them, before that; then each text is one network, or one interface.
    `settings` are those of formats by their names, as {"aws-vpc.fields": "srcaddr dstaddr bytes start"}.
    """

    format: RawFormat = declared(Option("--format", "The raw files' format; auto looks into each."), "auto")
    apps: Path | None = declared(
        Option("--apps", "CSV file cidr,app[,vpc_id,from,until,logged] that names the apps of addresses.", "FILE"), None
    )
    apps_digest: str | None = None
    vpc_id: str | None = declared(Option("--vpc-id", "The VPC of records that name none.", "ID"), None)
    settings: Mapping[str, str] = declared(
        Option(
            "--set",
            'A setting of a format, as aws-vpc.fields="srcaddr dstaddr bytes start"; may be repeated.',
            "FORMAT.SETTING=VALUE",
        ),
        default_factory=dict,
        hash=False,
    )
    zero_bytes: ZeroBytes = declared(ZERO_BYTES, "accept")
    timezone: str = declared(
        Option("--timezone", "The zone of logs that write local times, as Europe/Berlin or +02:00.", "ZONE"), DEFAULT_ZONE
    )
    both_ends: BothEnds = declared(
        Option(
            "--both-ends",
            "Whether the bytes of a flow that the logs have from both of its ends count once, as far as a log's rules,"
            " --logged and --hop tell, or as often as they are reported.",
        ),
        "once",
    )
    logged: tuple[str, ...] = declared(
        Option(
            "--logged",
            "Networks whose interfaces are logged, as 10.0.0.0/8,fd00::/8, or a file with one a line: what they send counts as"
            " the sender reports it, and receivers' reports of it are left out. May be repeated; not with --both-ends count.",
            "FILE|CIDR,…",
        ),
        (),
    )
    hop: tuple[str, ...] = declared(
        Option(
            "--hop",
            "Interfaces on the way, as of NAT gateways, whose own reports are left out. May be repeated;"
            " not with --both-ends count.",
            "ID,…",
        ),
        (),
    )
    spread: Spread = declared(
        Option(
            "--spread",
            "Where the bytes of a flow that spans hours count: in the hour of its start, or by time in all its hours.",
        ),
        "start",
    )

    @property
    def is_named(self) -> bool:
        """Whether the user has named the format."""
        return self.format != "auto"

    def to_json(self) -> dict[str, Any]:
        """The object that the ledger keeps."""
        values = {known.name: getattr(self, known.name) for known in fields(ReadOptions)}
        return values | {
            "apps": None if self.apps is None else str(self.apps),
            "settings": dict(self.settings),
            "logged": list(self.logged),
            "hop": list(self.hop),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReadOptions:
        """Reads what `to_json` gave, in this version or an earlier one."""
        return cls(
            **{
                **values,
                "apps": None if values["apps"] is None else Path(values["apps"]),
                "logged": tuple(values.get("logged", ())),  # not in records that an earlier version wrote
                "hop": tuple(values.get("hop", ())),
            }
        )


@dataclass(frozen=True)
class IngestOptions(ReadOptions):
    """How to ingest: how raw files are read, and how the run works."""

    workers: int | None = declared(
        Option(
            "--workers",
            "How many files are read at once; fewer where the memory is short.",
            "N",
            least=1,
            otherwise="one a processor",
        ),
        None,
    )
    memory_bytes: int | None = declared(
        Option(
            "--memory",
            "The most memory to take, as 512M or 2G, by each worker of a cluster too; what does not fit goes to disk, and fewer files"
            " are read at once.",
            "SIZE",
            parse=parse_size,
            otherwise="what the workers use, about 700M for two and 145M for each more, 185M for a process; at most half of the memory",
        ),
        None,
    )
    on: On = declared(
        Option(
            "--on",
            "Where files are read: by threads, in large runs by processes of this machine; or by the workers of a Dask cluster (the"
            " extra dask).",
        ),
        "threads",
    )
    scheduler: str | None = declared(
        Option(
            "--scheduler",
            "The scheduler of the Dask cluster, as tcp://10.0.0.7:8786, for --on dask.",
            "ADDRESS",
            otherwise="a cluster of this machine for this run, with --workers processes",
        ),
        None,
    )
    strict: bool = declared(
        Option("--strict", "Stop at the first rejected row or failed file; commit nothing."), default=False
    )
    max_reject_ratio: float | None = declared(
        Option("--max-reject-ratio", "Commit nothing if more than this part of the rows is rejected.", "R", least=0, most=1),
        None,
    )
    wait_seconds: float = declared(WAIT, 0)
    same_content: SameContent = declared(
        Option("--same-content", "What to do with a file whose content, or the start of it, was counted from another path."),
        "skip",
    )
    replace_changed: bool = declared(
        Option("--replace-changed", "Take a file back that changed after it was counted, and count it as it is now."),
        default=False,
    )
    min_age_seconds: float = declared(
        Option("--min-age", "Leave files alone that were modified less than S seconds ago.", "S", least=0), 0
    )
    exclude: tuple[str, ...] = declared(
        Option(
            "--exclude",
            "Leave files and folders alone by their name, or by their path in the folder that is read; may be repeated.",
            "GLOB",
        ),
        (),
    )
    since: str | None = declared(
        Option(
            "--since",
            "Count only what is newer: of paths with {yyyy}, {mm}, {dd} and {hh} the folders of these dates, of others what was"
            " modified since. As -3d, 2026-11-24 or 2026-11-24T08.",
            "WHEN",
        ),
        None,
    )


def settings_of(words: Sequence[str]) -> dict[str, str]:
    """Reads settings as a user gives them: each `FORMAT.SETTING=VALUE`.

    Raises:
        UsageError: One is not written so, or is there twice.
    """
    settings: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f'--set: {word!r} is not a setting; write it like aws-vpc.fields="srcaddr dstaddr bytes start"')
        if name in settings:
            raise UsageError(f"--set: {name} is there twice")
        settings[name] = value
    return settings


def readme_table() -> str:
    """README's table of the options of `flowlog ingest`."""
    kinds = get_type_hints(IngestOptions)
    lines = ["| option | |", "|---|---|"]
    for known in fields(IngestOptions):
        if option := known.metadata.get("option"):
            choices = get_args(kinds[known.name]) if get_origin(kinds[known.name]) is Literal else ()
            has_default = bool(choices or option.metavar) and isinstance(known.default, int | str)
            lines.append(_table_line(option, "\\|".join(choices), str(known.default) if has_default else ""))
    return "\n".join([*lines, *map(_table_line, (AWS_FIELDS, METRICS_FILE, QUIET))]) + "\n"


def _table_line(option: Option, choices: str = "", default: str = "") -> str:
    value, said = (option.metavar or "").replace("|", "\\|") or choices, option.otherwise or default
    return f"| `{option.name}{value and f' {value}'}` | {option.help}{said and f' Default: {said}.'} |"


if __name__ == "__main__":
    print(readme_table(), end="")  # noqa: T201 - for README
