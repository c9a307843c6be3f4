"""The page: one small file that asks nobody for anything, in which names are data whatever they are."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import parse_qs

import pytest

from pipeline.flowstore import FlowStore
from pipeline.hours import HourRange
from pipeline.report.figures import figures_of
from pipeline.report.page import Controls, change_of, moment_of, render, render_problem, share_of, shown_name, span_of
from pipeline.report.provenance import provenance_of
from pipeline.widths import columns_of
from tests.query.test_query import stored

FIRST = 498744  # 2026-11-24T00
#: What names may be, each made as long as a name may be, and different by a number.
STRANGE = [
    "<script>alert(1)</script>",
    "\"'><img src=http://example.org/x onerror=alert(1)>",
    "&amp;&lt;",
    "{{ 7 * 7 }}{% raw %}",
    "שרת־קבצים",
    "\u202eevil\u202c",
    "👩‍👩‍👧‍👦🚀",
    "\x00\x07\x1b[31m\n\t",
    "名前のとても長い",
    "javascript:alert(1)",
    "]]><!--",
    "a̴̡̛b̷̢",
]


class Page(HTMLParser):
    """A page's elements: tag and attributes; and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag, name=None):
        return [attributes for found, attributes in self.elements if found == tag and (name is None or name in attributes)]


def long(name, number):
    text = (name * 4096).encode()[: 4096 - 5].decode("utf-8", "ignore")
    return f"{number:04}{text}"


@pytest.fixture(scope="module")
def worst(tmp_path_factory):
    """A store of 372 hours with 5,000 apps; the largest have the strangest names, and are in each hour."""
    folder = tmp_path_factory.mktemp("worst")
    rows = []
    for hour in range(372):
        for place in range(20):
            size = 10**6 // (1 + place) * (1 + hour % 7) + hour * 1009
            name = long(STRANGE[place % len(STRANGE)], place)
            other = long(STRANGE[(place + 5) % len(STRANGE)], (place + hour) % 20)
            rows.append((FIRST + hour, name, other, "v", size, 7, 1))
    rows += [(FIRST, f"app-{place}", f"app-{place * 7 % 5000}", "v", 1, 1, 1) for place in range(5000)]
    stored(folder, rows)
    return FlowStore(folder)


@pytest.fixture(scope="module")
def pages(worst):
    figures = figures_of(worst, HourRange(FIRST, FIRST + 372))
    controls = Controls({"when": "2026-11-24", "app": "*\"'<script>"}, waiting=3)
    return [render("a <store>", figures, provenance_of(worst, figures.span.range)), render("s", figures, controls=controls)]


@pytest.mark.parametrize("place", [0, 1])
def test_the_page_stays_small_whatever_the_names(pages, place):
    assert len(pages[place].encode()) < 500_000


@pytest.mark.parametrize("place", [0, 1])
def test_names_are_data(pages, place):
    page = Page(pages[place])
    allowed = "html head meta title link style body header h1 p strong span main section h2 div input label figure svg path text rect"
    allowed += " figcaption i bdi table thead tr th tbody td dl dt dd ul li code a form button"
    assert {tag for tag, _ in page.elements} <= set(allowed.split())
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "<script>" in page.text  # as it stands in the names
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page.text)  # whatever would move or reorder what is shown


def test_formats_whose_names_have_commas_are_told_apart(worst):
    span = HourRange(FIRST, FIRST + 1)
    told = replace(provenance_of(worst, span), formats=Counter({"Argus, CSV": 2, "CSV": 1}))
    assert "3: 2 Argus, CSV; 1 CSV." in Page(render("s", figures_of(worst, span), told)).text


@pytest.mark.parametrize("place", [0, 1])
def test_the_page_asks_nobody_for_anything(pages, place):
    page = Page(pages[place])
    for _, attributes in page.elements:
        for name in ("href", "src", "action", "srcset", "data", "poster", "xlink:href", "formaction"):
            assert (attributes.get(name) or "?")[:1] == "?" or attributes[name] in ("data:,", "docs")
    assert "url(" not in pages[place]
    assert "@import" not in pages[place]


def test_what_the_page_shows_adds_up_to_the_total(pages):
    page = Page(pages[0])
    (total,) = [attributes for attributes in page.all("p") if attributes.get("id") == "total"]
    rows = page.all("tr", "data-tx")
    for name in ("data-tx", "data-rx", "data-flows"):  # four lists, of which each but that of new pairs has the total
        assert sum(int(row[name]) for row in rows) == 3 * int(total[name])
    both = int(total["data-tx"]) + int(total["data-rx"])
    assert sum(int(slot["data-bytes"]) for slot in page.all("rect", "data-hour")) == 2 * both  # by either side
    assert sum(int(cell["data-bytes"]) for cell in page.all("rect", "data-row")) == both
    assert sum(int(ribbon["data-bytes"]) for ribbon in page.all("path", "data-bytes")) == both


def test_a_page_of_a_server_keeps_its_state_in_its_links(tmp_path):
    stored(tmp_path, [(FIRST, "a*b", "c&d=é", "v", 1, 2, 1), (FIRST + 1, "x", "y", "v", 1, 2, 1)])
    figures = figures_of(FlowStore(tmp_path), HourRange(FIRST, FIRST + 24))
    page = Page(render("s", figures, controls=Controls({"when": "2026-11-24", "vpc_id": "v"})))
    links = [parse_qs(link["href"].removeprefix("?")) for link in page.all("a", "href")]
    assert {"when": ["2026-11-24"], "vpc_id": ["v"], "src_app": [r"a\*b"], "dest_app": ["c&d=é"]} in links
    assert {"when": ["2026-11-24T01"], "vpc_id": ["v"]} in links
    assert {"when": ["2026-11-23"], "vpc_id": ["v"]} in links
    assert {"when": ["2026-11-25"], "vpc_id": ["v"]} in links
    assert [field["value"] for field in page.all("input", "placeholder")] == ["2026-11-24", "", "", "", "", "v"]


def test_a_page_that_stands_alone_has_neither_links_nor_a_form(pages):
    page = Page(pages[0])
    assert not page.all("a")
    assert not page.all("form")


def test_where_nothing_was_counted_the_page_says_where_something_was(tmp_path):
    store = FlowStore(tmp_path, create=True)
    assert "The store has no totals yet" in render("s", figures_of(store, HourRange(1, 2)))
    stored(tmp_path, [(FIRST, "a", "b", "v", 1, 2, 1)])
    text = Page(render("s", figures_of(store, HourRange(1, 2)))).text
    assert "There are no totals of these hours" in text
    assert "from 2026-11-24T00 to" in text
    found = figures_of(store, HourRange(FIRST, FIRST + 1), {"app": "z"})
    assert "No totals of these hours pass the filters" in render("s", found)


def test_totals_without_bytes_are_shown(tmp_path):
    stored(tmp_path, [(FIRST, "a", "b", "v", 0, 0, 3)])
    text = Page(render("s", figures_of(FlowStore(tmp_path), HourRange(FIRST, FIRST + 1)))).text
    assert "0 B in 3 flows" in text
    assert "No pair has any bytes" in text


def test_bytes_whose_flow_began_before_are_shown(tmp_path):
    stored(tmp_path, [(FIRST, "a", "b", "v", 5, 0, 0)])
    assert "5 B in 0 flows" in Page(render("s", figures_of(FlowStore(tmp_path), HourRange(FIRST, FIRST + 1)))).text


def test_new_pairs_are_those_that_the_hours_before_have_not(tmp_path):
    stored(tmp_path, [(FIRST - 1, "a", "b", "v", 1, 1, 1), (FIRST, "a", "b", "v", 1, 1, 1), (FIRST, "a", "c", "v", 5, 5, 2)])
    store = FlowStore(tmp_path)
    page = render("s", figures_of(store, HourRange(FIRST, FIRST + 1)))
    _, new = page.split('data-ranking="new"')
    assert [row["data-tx"] for row in Page(new).all("tr", "data-tx")] == ["5"]
    assert "Each pair has totals in the 2 h before" not in page
    assert "no totals to compare with" in render("s", figures_of(store, HourRange(FIRST - 1, FIRST)))


def test_a_problem_is_a_page_from_which_people_can_choose_again():
    page = Page(render_problem("<b>\x1b no", Controls({"when": "<x>"})))
    assert r"<b>\x1b no" in page.text
    assert page.all("form")


def test_parts_are_in_percent():
    assert [share_of(part, 1000) for part in (0, 1, 4, 99, 100, 314, 1000)] == [
        "0 %",
        "0.1 %",
        "0.4 %",
        "9.9 %",
        "10 %",
        "31 %",
        "100 %",
    ]
    assert [share_of(1, 10**6), share_of(0, 0)] == ["< 0.1 %", "0 %"]


def test_changes_are_in_percent_or_times():
    assert [change_of(now, 100) for now in (0, 60, 100, 112, 299, 300, 1234)] == [
        *("-100 %", "-40 %", "as before", "+12 %", "+199 %", "3 times as much", "12 times as much")
    ]
    assert [change_of(1, 0), change_of(0, 0)] == ["nothing before", "as before"]


def test_hours_are_told_as_people_say_them():
    assert span_of(HourRange(FIRST, FIRST + 1)) == "2026-11-24T00"
    assert span_of(HourRange(FIRST, FIRST + 24)) == "2026-11-24"
    assert span_of(HourRange(FIRST, FIRST + 48)) == "2026-11-24 to 2026-11-25"
    assert span_of(HourRange(FIRST, FIRST + 25)) == "2026-11-24T00 to 2026-11-25T00"
    assert span_of(HourRange(2**31 - 24, 2**31)) == f"{2**31 - 24} to {2**31 - 1}"
    assert moment_of(HourRange(FIRST, FIRST + 1), 1) == "11-24 00:00"
    assert moment_of(HourRange(FIRST, FIRST + 24), 24) == "2026-11-24"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("short", "short"),
        ("0123456789abcdef", "01234…cdef"),
        ("名前名前名前名前", "名前…名前"),
        ("a\x00b", r"a\x00b"),
    ],
)
def test_a_long_name_is_cut_in_its_middle(name, shown):
    assert shown_name(name, 10) == shown
    assert columns_of(shown) <= 10
