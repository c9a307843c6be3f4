"""Raw files in, flow records out. One module a format; `FORMATS` is the registry.

    formats.open_source(raw, name) -> the format and the decompressed stream
    format.read(stream, context)   -> pieces: lines with their parser, or flow records, unvalidated

    head, detection   which format a file is of, from its first bytes; `foreign` names what flowlog does not read
    format            what a format is: a declaration
    syntaxes          how a log is read that is CSV, JSON or Parquet

    canonical         flow records under their own names
    aws               AWS VPC Flow Logs
      awsfields       the names of the fields
      awstext         lines with a header or without
      awsjson         records as JSON objects
      cloudwatch      what exports put around a line
      envelopes       lines in the events of CloudWatch Logs, in JSON
    awstgw            AWS Transit Gateway Flow Logs
      awsgateway      what their records say, and how they are told from a VPC's
    ocsf              OCSF's network activity
    azure             Azure's VNet and NSG flow logs
      azurerecords    their records, as a stream has them
      azurerecord     one of these, which has many flows
    gcp               Google's VPC Flow Logs
    netobserv         flow logs of NetObserv
      loki            records that Loki gives out, with the labels of their streams
    suricata          Suricata's EVE log, and AWS Network Firewall's
    zeek              Zeek's conn.log
      zeekheader      text with `#` lines
      zeeklogs        which of Zeek's logs something is of
    nfdump            NetFlow as nfdump prints it
      nfdumpsummary   its older CSV, and the summary behind the rows
    goflow2           NetFlow, IPFIX and sFlow as goflow2 writes them
    pmacct            pmacct's JSON
    silk              SiLK's rwcut
    argus             Argus's ra, in CSV and in JSON
      argusjson       the objects in the array that ra writes
    localcolumns      local times become seconds since 1970
    repeats           records that stand twice in a file

    record            what a log's record says, in the terms that all formats share
    conversion        from there to flow records, once for all formats
      reporters       both ends report one flow: what is left out, and what is noted of the rest
      networks        which addresses lie in the networks that a user names
      apps            which app has an address
      mappingfile     the file of `--apps`
      rules           which rule of that file speaks for an hour
      spans           how long flows lasted, for bytes that are spread over hours

To add a format: write a module of declarations like `canonical.py`, and add its name to `_MODULES` below (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import BinaryIO, cast

from pipeline.errors import UsageError
from pipeline.formats.awsfields import OWN_FIELDS
from pipeline.formats.detection import detect
from pipeline.formats.format import Format, Setting
from pipeline.formats.head import read_head
from pipeline.options import ReadOptions
from pipeline.syntax.blocks import LinesOfReturns
from pipeline.syntax.compression import decompressed

#: The modules of the formats, as they are asked: those that know lines of text come first, and of these the text of AWS last,
#: which may be known by a line that is not the first.
_MODULES = (
    "canonical",
    "zeek",
    "nfdump",
    "silk",
    "argus",
    "awstgw",
    "aws",
    "suricata",
    "netobserv",
    "goflow2",
    "pmacct",
    "gcp",
    "azure",
    "ocsf",
    "awsjson",
    "envelopes",
)


class _Formats(Iterable[Format]):
    """All formats. A module is imported when a file was of none before: all together take a tenth of a small file's job."""

    def __iter__(self) -> Iterator[Format]:
        for name in _MODULES:
            yield from _formats_of(name)


@cache
def _formats_of(module: str) -> tuple[Format, ...]:
    return tuple(import_module(f"{__name__}.{module}").FORMATS)


FORMATS: Iterable[Format] = _Formats()


def format_options() -> tuple[str, ...]:
    """The values of `--format`."""
    return ("auto", *dict.fromkeys(known.option for known in FORMATS))


def _settings() -> dict[str, Setting]:
    """What `--set` sets, by name."""
    return {setting.name: setting for known in FORMATS for setting in known.settings}


def check_settings(options: ReadOptions) -> None:
    """Refuses settings that no format has, or values that are unfit.

    Raises:
        UsageError: There is one.
    """
    known = _settings() if options.settings else {}
    for name in options.settings:
        if name not in known:
            raise UsageError(f"--set: there is no setting {name}; the settings are {', '.join(known)}")
        known[name].of(options)


def open_source(
    raw: BinaryIO,
    name: str,
    option: str = "auto",
    settings: Mapping[str, str] | None = None,
    through: Callable[[BinaryIO], BinaryIO] | None = None,
) -> tuple[Format, BinaryIO]:
    """Finds out what a raw file is, and opens it for its reader.

    Args:
        raw: The file, seekable, at its start.
        name: Its name.
        option: One of `format_options`; anything but "auto" overrides the detection.
        settings: Those of formats. Where the fields of AWS text are set, text that is of no other format is that.
        through: Takes the decompressed content, and gives what is read instead of it, as one that watches it.

    Returns:
        Its format, and its decompressed content.

    Raises:
        EmptySource: It has no content, or blank lines alone.
        UnknownFormat: It is none that flowlog reads, or not the one that `option` names.
        SourceError: It cannot be read at all.
    """
    stream = decompressed(raw, to_end=True)
    if through:
        stream = through(stream)
    head, stream = read_head(stream, name, is_named=option != "auto")
    found = detect(head, _selected_by(option), _text_of_aws() if OWN_FIELDS.name in (settings or {}) else None)
    return found, cast("BinaryIO", LinesOfReturns(stream)) if head.ends_in_returns else stream


def _selected_by(option: str) -> Iterable[Format]:
    return (known for known in FORMATS if option in ("auto", known.option))


def _text_of_aws() -> Format:
    from pipeline.formats import aws  # as few formats as can be are imported

    return aws.TEXT
