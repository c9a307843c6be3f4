"""`flowlog apps`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.arguments import JsonOption, StoreOption, UntilOption, open_store, parse_path
from pipeline.cli.output import print_rows, say, write_object, write_text
from pipeline.errors import UsageError
from pipeline.hours import LAST_HOUR
from pipeline.scalars import DEFAULT_STORE, count_to_text

if TYPE_CHECKING:
    from pipeline.query.unnamed import Unnamed


def apps(
    lists: Annotated[
        list[Path] | None,
        typer.Argument(
            help="What clouds and Kubernetes list of their networks, in JSON; without any, the store is looked at.",
            metavar="[LIST...]",
            parser=parse_path,
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    hour: Annotated[
        str | None, typer.Option(help="The hours of the store that are looked at.  [default: all]", metavar="WHEN")
    ] = None,
    until: UntilOption = None,
    top: Annotated[int, typer.Option(help="Show the N addresses that have the most bytes.", metavar="N", min=1)] = 20,
    as_json: JsonOption = False,
) -> None:
    """Make a mapping file for --apps, or show what has no name.

    Reads aws ec2 describe-network-interfaces and describe-subnets, AWS's ip-ranges.json, gcloud compute instances list
    and networks subnets list (--format=json), az network nic list and vnet list, kubectl get pods,services -A -o json.

    \b
    Example:
      flowlog apps interfaces.json subnets.json
    """
    if lists:
        if hour is not None or until is not None:
            raise UsageError("--hour and --until are of the store, which is looked at where no list is given")
        _print_mapping(lists, as_json)
        return
    if until is not None and hour is None:
        raise UsageError("--until ends a range that has no start: flowlog apps --hour WHEN --until WHEN")
    opened = open_store(store)
    found = opened.unnamed(1, LAST_HOUR + 1, top) if hour is None else opened.unnamed(hour, until, top)
    if as_json:
        write_object({name: getattr(found, name) for name in ("addresses", "count", "total", "named", "half")})
    else:
        print_rows(found.addresses)
        say(_told(found))


def _print_mapping(lists: list[Path], as_json: bool) -> None:
    from pipeline.inventory import merged, read_inventory  # few ask for it

    read = [(path, read_inventory(path)) for path in lists]
    rows, others = merged(row for _, found in read for row in found)
    if as_json:
        write_object([row._asdict() for row in rows])
    else:
        import csv
        from io import StringIO

        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows([("cidr", "app", "vpc_id"), *rows])
        write_text(text.getvalue())
        say([f"{path}: {count_to_text(len(found), 'row')}" for path, found in read])
        if others:
            say([f"{others:,} of them had another name before, which is kept; give the list whose names you want first"])


def _told(found: Unnamed) -> list[str]:
    """What the table is a part of."""
    if not found.total:
        return ["there are no bytes in these hours"]
    named, half = (f"{100 * part / found.total:.1f} %" for part in (found.named, found.half))
    more = found.count - len(found.addresses)
    return [
        f"{named} of the bytes have a name at both ends, {half} at one",
        *([f"{more:,} more addresses have no name; --top shows more"] if more > 0 else []),
    ]
