"""The page: HTML with its style inside, without a script, which asks nobody for anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.hours import HourRange, hour_to_text
from pipeline.query.sums import literally
from pipeline.report.charts import LEFT, RIGHT, STACK_HEIGHT, WIDTH, heat, sankey, stack
from pipeline.report.figures import Figures
from pipeline.report.provenance import Provenance
from pipeline.scalars import bytes_to_text, printable
from pipeline.widths import columns_of, cut

#: So many characters of a name are shown in a list, in a chart's label, and where the pointer rests: a name may have 4,096 bytes.
_LISTED, _LABEL, _TITLE = 48, 26, 120

#: What a page of a server lets people choose: the parameter, what it is called, and a hint.
_FIELDS = (
    ("when", "Hours", "latest, 2026-11-24, -7d"),
    ("until", "until", "2026-11-26T08"),
    ("app", "App", "either side"),
    ("src_app", "Source app", "* for any text"),
    ("dest_app", "Destination app", ""),
    ("vpc_id", "VPC", ""),
)
#: The names of what people may choose.
CHOICES = tuple(name for name, *_ in _FIELDS)

#: A page has hundreds of links, and a name may have 4,096 bytes, of which each takes three in an address.
_LONGEST_LINK = 600


@dataclass(frozen=True)
class Controls:
    """What a page that a server gives lets people choose; its state is in the address.

    Attributes:
        chosen: What was chosen, by the parameter's name, one of `CHOICES`.
        waiting: How many records were acknowledged that the figures do not have yet.
    """

    chosen: Mapping[str, str] = field(default_factory=dict)
    waiting: int = 0

    def link(self, **names: str) -> str | None:
        """The address of the page with these names alone, by the filter; None if it is too long for a link."""
        return self._address({name: literally(text) for name, text in names.items()})

    def link_to(self, hours: HourRange) -> str | None:
        """The address of the page with these hours alone; None as above."""
        text = span_of(hours)
        if " " in text:  # neither an hour nor a day
            return self._address({"when": hour_to_text(hours.first), "until": hour_to_text(hours.until)})
        return self._address({"when": text, "until": ""})

    def _address(self, changes: Mapping[str, str]) -> str | None:
        chosen = {**self.chosen, **changes}
        address = "?" + urlencode({name: text for name, text in chosen.items() if text}, errors="surrogateescape")
        return address if len(address) <= _LONGEST_LINK else None


def render(store: str, figures: Figures, provenance: Provenance | None = None, controls: Controls | None = None) -> str:
    """A page as HTML.

    Args:
        store: The store's name.
        figures: What the page shows.
        provenance: Where the figures come from; None leaves that part out.
        controls: What people may choose; None for a page that stands alone.
    """
    timeline = figures.timeline
    stacks = [("destination", timeline.by_destination), ("source", timeline.by_source)]
    return _rendered(
        "report.html",
        heading=span_of(figures.span.range),
        store=store,
        figures=figures,
        provenance=provenance,
        controls=controls,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        stacks=[(side, series, stack(series)) for side, series in stacks],
        heat=heat(figures.matrix),
        sankey=sankey(figures.pairs),
        left=LEFT,
        right=RIGHT,
        width=WIDTH,
        stack_height=STACK_HEIGHT,
    )


def render_problem(problem: str, controls: Controls) -> str:
    """A page that says why there is nothing to show, and lets people choose again."""
    return _rendered("problem.html", heading="flowlog", problem=printable(problem), controls=controls)


def _rendered(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values, fields=_FIELDS)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    filters: dict[str, Any] = {
        "size": bytes_to_text,
        "exact": "{:,}".format,
        "listed": lambda name: shown_name(name, _LISTED),
        "label": lambda name: "other" if name is None else shown_name(name, _LABEL),
        "title": lambda name: shown_name(name, _TITLE),
        "isolated": lambda name: f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}",
        "columns": columns_of,
        "share": share_of,
        "change": change_of,
        "span": span_of,
        "moment": moment_of,
        "after": lambda hours: HourRange(hours.until, 2 * hours.until - hours.first),
        "one": lambda hour: HourRange(hour, hour + 1),
        "n": lambda number: f"{number:.1f}".removesuffix(".0"),
    }
    environment.filters |= filters
    return environment


def shown_name(name: str, most: int) -> str:
    """A name of so many columns at the most, cut in its middle, and with all that is not to be seen escaped."""
    return cut(printable(name if len(name) <= 2 * most else f"{name[:most]}…{name[-most:]}"), most)


def share_of(part: int, whole: int) -> str:
    """A part in percent: `31 %`, `0.4 %`, `< 0.1 %`."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 10 or not percent else f"{percent:.1f} %"


def change_of(now: int, before: int) -> str:
    """How much more or less there is: `+12 %`, `-40 %`, `8 times as much`."""
    if not before:
        return "nothing before" if now else "as before"
    if now >= 3 * before:
        return f"{now / before:,.0f} times as much"
    percent = round(100 * (now - before) / before)
    return f"+{percent} %" if percent > 0 else f"{percent} %" if percent else "as before"


def span_of(hours: HourRange) -> str:
    """Hours as people say them: `2026-11-24T08`, `2026-11-24`, `2026-11-24T08 to 2026-11-26T07`."""
    first, last = hour_to_text(hours.first), hour_to_text(hours.until - 1)
    if hours.first % 24 == 0 and hours.until % 24 == 0 and "T" in first and "T" in last:
        first, last = first[:10], last[:10]
    return first if first == last else f"{first} to {last}"


def moment_of(hours: HourRange, width: int) -> str:
    """Where a period starts, short enough for an axis."""
    text = hour_to_text(hours.first)
    if "T" not in text:
        return text
    return text[5:].replace("T", " ") + ":00" if width == 1 else text[:10]
