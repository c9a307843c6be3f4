"""A time just before an hour's end, with more digits than a float64 holds: its flow counts in that hour, whichever path reads it."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import formats
from pipeline.formats.apps import AppMap
from pipeline.formats.format import ReadContext
from pipeline.options import ReadOptions
from tests.formats import test_argus, test_gcp, test_ocsf, test_pmacct, test_silk, test_zeek
from tests.formats.helpers import batches_of, read

END = 472_223 * 3600
#: In seconds, milliseconds and nanoseconds.
SECONDS, MILLIS, NANOS = f"{END - 1}.99999999", f"{END * 1000 - 1}.9999999", f"{END * 10**9 - 1}"
TIMES = [SECONDS, MILLIS, NANOS]


def zeek(time, address="10.0.0.1", **more):
    row = test_zeek.CONN | {"ts": time, "id.orig_h": address} | more
    return "\n".join([*test_zeek.HEADER, "#fields\t" + "\t".join(row), "\t".join(row.values()), ""])


def zeek_json(time, more=""):
    numbers = '"orig_ip_bytes":5,"resp_ip_bytes":6'
    return f'{{"ts":{time},"uid":"C1","proto":"tcp","id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2",{numbers}{more}}}\n'


def with_time(text, place):
    """A JSON text with a time that Python could not write, in the place of another."""
    return lambda time: text.replace(place, time)


WRITTEN = {
    "zeek": zeek,
    "zeek, a text that the kernel does not read": lambda time: zeek(time, uid="ü" * 5000),
    "zeek json": zeek_json,
    "zeek json, by Arrow": lambda time: zeek_json(time, r',"\u0073ervice":"x"'),
    "zeek json, by Python": lambda time: zeek_json(time, ',"service":7,"history":1e400'),
    "silk": lambda time: test_silk.listing([*test_silk.FLOW[:8], time, test_silk.FLOW[9], "", test_silk.FLOW[11]]),
    "argus": lambda time: test_argus.listing(test_argus.CSV | {"StartTime": time}),
    "argus json": with_time(test_argus.objects(test_argus.JSON | {"stime": 77777}), "77777"),
    "nfdump": lambda time: f"firstSeen,srcAddr,dstAddr,inBytes,outBytes\n{time},10.0.0.1,10.0.0.2,5,6\n",
    "pmacct": lambda time: test_pmacct.lines(test_pmacct.ENDS | {"timestamp_start": time}),
    "ocsf": with_time(test_ocsf.lines(test_ocsf.event(start_time=77777)), "77777"),
}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_in_its_hour(name, time):
    outcome = read(WRITTEN[name](time))
    assert ([cells[0] for cells in outcome.cells], outcome.rejects) == ([472_222], [])


@pytest.mark.parametrize("name", WRITTEN)
def test_the_next_hour_s_first_moment_is_in_that(name):
    assert [cells[0] for cells in read(WRITTEN[name](f"{END}.00000000")).cells] == [472_223]


def spans(text):
    options = ReadOptions(format="auto", spread="hours")
    known, stream = formats.open_source(io.BytesIO(text.encode()), "raw", "auto")
    return [
        batch.marks.to_pylist() for batch in batches_of(known.read(stream, ReadContext(options, AppMap()))) if batch.marks
    ]


@pytest.mark.parametrize("path", ["", r',"\u0073ervice":"x"', ',"service":7,"history":1e400'])
def test_spread_over_hours_it_starts_in_its_second(path):
    ((span,),) = spans(zeek_json(SECONDS, f',"duration":3600.5{path}'))
    assert span["started"] // 10**9 == END - 1
    assert span["ended"] // 10**9 == END + 3600


def test_an_end_just_before_an_hour_touches_no_further_one():
    listed = f"firstSeen,lastSeen,srcAddr,dstAddr,inBytes,outBytes\n{END - 3601}.5,{SECONDS},10.0.0.1,10.0.0.2,5,6\n"
    ((span,),) = spans(listed)
    assert span["ended"] // 10**9 == END - 1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_timestamp_of_parquet_is_a_time_in_any_unit(unit):
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    table = pq.read_table(io.BytesIO(test_gcp.in_parquet(test_gcp.entry())))
    payload = table.column("jsonPayload").to_pylist()[0]
    schema = table.schema.field("jsonPayload").type
    fields = [field.with_type(pa.timestamp(unit)) if field.name == "start_time" else field for field in schema]
    payload["start_time"] = END * per_second - 1
    columns = {name: table.column(name) for name in table.column_names} | {
        "jsonPayload": pa.array([payload], pa.struct(fields))
    }
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    assert [cells[0] for cells in read(target.getvalue()).cells] == [472_222]


def test_a_broken_neighbour_changes_no_time():
    lines = [zeek_json(SECONDS), zeek_json(f"{END}"), "{broken\n", json.dumps({"ts": "never"}) + "\n"] * 20
    assert [cells[0] for cells in read("".join(lines)).cells] == [472_222, 472_223] * 20
