"""SiLK's listings: however rwcut was told to print them."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UnknownFormat, UnreadableSource
from tests.formats.helpers import format_of, read

TEN = 1_764_151_200  # 2025-11-26T10:00Z
HOUR = TEN // 3_600
SHARED = Path(os.environ.get("FLOWLOG_SHARED") or Path(__file__).parents[3] / "shared") / "samples" / "silk"
TITLES, FLOW = map(
    list,
    zip(
        ("sIP", "10.0.0.1"),
        ("dIP", "10.0.0.9"),
        ("sPort", "40000"),
        ("dPort", "443"),
        ("pro", "6"),
        ("packets", "1"),
        ("bytes", "5"),
        ("flags", "FS PA"),
        ("sTime", "2025/11/26T10:00:00.250"),
        ("duration", "9.000"),
        ("eTime", "2025/11/26T10:00:09.250"),
        ("sensor", "S0"),
        strict=True,
    ),
)
COUNTED = (HOUR, "10.0.0.1", "10.0.0.9", "S0", 5, 0)


def listing(*rows, titles=TITLES, separator="|", padded=True, ended=True, end="\n"):
    """What rwcut prints of rows."""
    width = 24 if padded else 0
    return "".join(
        separator.join(f"{cell:>{width}}" for cell in row) + (separator if ended else "") + end for row in (titles, *rows)
    )


def changed(**cells):
    return [cells.get(title, cell) for title, cell in zip(TITLES, FLOW, strict=True)]


@pytest.mark.parametrize("separator", ["|", ",", ";", "\t"])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_listing_is_read_however_it_is_printed(separator, padded, ended, end):
    outcome = read(listing(FLOW, separator=separator, padded=padded, ended=ended, end=end))
    assert (outcome.cells, outcome.rejects) == ([COUNTED], [])


def test_fields_may_stand_in_any_order_and_their_titles_may_be_cut_off():
    titles = [{"sensor": "sen", "pro": "protocol"}.get(title, title) for title in TITLES]
    assert read(listing(FLOW[::-1], titles=titles[::-1])).cells == [COUNTED]


@pytest.mark.parametrize("time", ["2025-11-26 10:00:00.250", "2025/11/26T10:00:00", f"{TEN}.250", f"{TEN}"])
def test_times_may_be_of_each_format_that_names_the_year_first(time):
    assert read(listing(changed(sTime=time))).cells == [COUNTED]


@pytest.mark.parametrize("separator", ["|", ",", "\t"])
def test_blanks_within_a_cell_are_part_of_it(separator):
    rows = [changed(sensor=sensor) for sensor in ("S 0", "the  north   gate", "S0")]
    outcome = read(listing(*rows, separator=separator))
    assert [cells[3] for cells in outcome.cells] == ["S 0", "the  north   gate", "S0"]


def test_blanks_alone_are_no_value():
    assert read(listing(changed(sPort="   ", sensor="    "))).cells == [(*COUNTED[:3], "-", 5, 0)]


def test_a_separator_of_several_bytes_is_not_rwcut_s():
    with pytest.raises(UnknownFormat):
        read(listing(FLOW, separator="¦"))


def test_local_times_are_read_in_the_zone_that_the_user_names():
    assert read(listing(FLOW), timezone="+02:00").cells == [(HOUR - 2, *COUNTED[1:])]


def test_the_server_s_record_is_turned_round_whatever_its_flags_say():
    answer = changed(sIP="10.0.0.9", dIP="10.0.0.1", sPort="443", dPort="40000", flags=" S PA")
    assert read(listing(answer)).cells == [(HOUR, "10.0.0.1", "10.0.0.9", "S0", 0, 5)]


def test_type_and_code_of_icmp_are_no_port():
    request = changed(pro="1", sPort="0", dPort="2048")
    assert read(listing(request)).cells == [COUNTED]


def test_the_user_s_vpc_goes_before_the_sensor():
    assert read(listing(FLOW), vpc_id="v").cells == [(*COUNTED[:3], "v", 5, 0)]


def test_listings_may_stand_one_behind_the_other_each_with_its_own_titles():
    text = listing(FLOW) + listing(FLOW[::-1], titles=TITLES[::-1], separator=",", padded=False)
    outcome = read(text)
    assert (outcome.cells, outcome.rows) == ([COUNTED] * 2, [2, 4])


def test_titles_that_are_glued_to_a_record_fail_the_file():
    with pytest.raises(UnreadableSource, match="line 2: titles are glued to a record"):
        read(listing(FLOW).rstrip("\n") + listing(FLOW))


@pytest.mark.parametrize("missing", ["bytes", "sTime"])
def test_a_listing_without_what_counts_is_refused_by_name(missing):
    titles = [title for title in TITLES if title != missing]
    with pytest.raises(UnknownFormat, match=f"a SiLK flow listing without {missing}; print it with rwcut --fields=sIP"):
        read(listing(titles=titles))


def test_a_listing_without_titles_is_refused_by_name():
    with pytest.raises(UnknownFormat, match="without titles; print it without --no-titles"):
        read(listing(FLOW).partition("\n")[2])
    with pytest.raises(UnreadableSource, match="line 1: a record before the titles"):
        read("1|2|3|\n", option="silk")


def test_rwuniq_s_sums_are_no_flows():
    with pytest.raises(UnknownFormat, match="without bytes and sTime"):
        read("            sIP|            dIP|   Records|     Bytes|\n")


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"sIP": "ten"}, "sIP"),
        ({"sIP": ""}, "sIP"),
        ({"bytes": "5.5"}, "bytes"),
        ({"bytes": ""}, "bytes"),
        ({"sTime": "11/26/2025 10:00:00"}, "sTime"),
        ({"sTime": ""}, "sTime"),
        ({"sPort": "http"}, "sPort"),
        ({"sIP": "10. 0.0.1"}, "sIP"),
        ({"bytes": "1 234"}, "bytes"),
        ({"sPort": "4 43"}, "sPort"),
        ({"sTime": "2025/11/26T10:00: 00"}, "sTime"),
        ({"sTime": "2025-11-26  10:00:00"}, "sTime"),
        ({"sTime": "2025-11-26T 10:00:00"}, "sTime"),
    ],
)
def test_a_row_with_an_unfit_cell_is_rejected_with_its_raw_text(cells, field):
    outcome = read(listing(FLOW, changed(**cells), FLOW))
    assert outcome.cells == [COUNTED] * 2
    assert [(reject.row, reject.field) for reject in outcome.rejects] == [(3, field)]
    assert outcome.rejects[0].raw == listing(changed(**cells)).splitlines()[1]


def test_a_line_that_was_cut_off_is_rejected():
    outcome = read(listing(FLOW, FLOW)[:-60])
    assert (outcome.cells, [reject.row for reject in outcome.rejects]) == ([COUNTED], [3])


rows = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 10**6), st.sampled_from([0, 53, 443, 40_000])), max_size=8)


@given(rows)
@settings(max_examples=50)
def test_the_bytes_of_each_hour_are_those_that_a_reader_of_few_lines_finds(flows):
    text = listing(*(changed(bytes=str(count), sTime=str(TEN + start), sPort=str(port)) for count, start, port in flows))
    found, expected = {}, {}
    for hour, _, _, _, tx, rx in read(text).cells if flows else ():
        found[hour] = found.get(hour, 0) + tx + rx
    for line in text.splitlines()[1:]:
        cells = [cell.strip() for cell in line.split("|")]
        expected[int(cells[8]) // 3600] = expected.get(int(cells[8]) // 3600, 0) + int(cells[6])
    assert found == expected


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"there are no samples at {SHARED}")
@pytest.mark.parametrize(
    ("name", "count", "total"),
    [("docker-silk_packing__README.md#rwcut.txt", 9, 13_108), ("ansible-silk__README.md#rwcut.txt", 2, 336)],
)
def test_the_samples_have_the_sums_of_their_index(name, count, total):
    text = (SHARED / name).read_bytes()
    outcome = read(text)
    assert format_of(text) == "SiLK, rwcut"
    assert (len(outcome.cells), outcome.rejects) == (count, [])
    assert sum(tx + rx for *_, tx, rx in outcome.cells) == total
