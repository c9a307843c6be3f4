"""Makes raw flow logs of any size for benchmarks, the same for the same seed: valid records only.

    python -m benchmarks.generate bench/csv --rows 20000000 --files 8 --skew 1.1

numpy and Arrow make the records, some rows at a time. `data/generate.py` has the facts of the formats, with their sources.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

Integers = npt.NDArray[np.int64]

FLOW_COLUMNS = ("hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx")
FIRST_HOUR = 498_750  # hours since the Unix epoch: 2026-11-24T06 UTC
SECONDS_PER_HOUR = 3600
MILLISECONDS_PER_HOUR = 3_600_000
MICROSECONDS = 1_000_000
EPHEMERAL_PORTS = (32_768, 60_999)  # Linux's default range
PAYLOAD_PER_PACKET = 1_400  # bytes, about what an Ethernet frame leaves
HEADERS_PER_PACKET = 40  # bytes, IPv4 and TCP; near enough for the others
ACCOUNTS = ("123456789010", "123456789011")
VPCS = ("vpc-0f3c5a91d2b7e4680", "vpc-04d8e2b6a19c7f350")

#: Name and type of each field of Zeek's conn.log.
ZEEK_SCHEMA = dict(
    field.split(":")
    for field in (
        "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port proto:enum "
        "service:string duration:interval orig_bytes:count resp_bytes:count conn_state:string local_orig:bool "
        "local_resp:bool missed_bytes:count history:string orig_pkts:count orig_ip_bytes:count resp_pkts:count "
        "resp_ip_bytes:count tunnel_parents:set[string]"
    ).split()
)
ZEEK_HEADER = (
    r"#separator \x09"
    "\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2026-11-24-06-00-00\n"
    + "\t".join(["#fields", *ZEEK_SCHEMA])
    + "\n"
    + "\t".join(["#types", *ZEEK_SCHEMA.values()])
    + "\n"
)
ZEEK_TRAILER = "#close\t2026-11-24-12-00-00\n"

AZURE_TUPLES = 64  # in each record
AZURE_START = (
    '{"time":"2026-11-24T07:00:59.7570617Z","flowLogVersion":4,"flowLogGUID":"66aa66aa-77bb-88cc-99dd-00ee00ee00ee",'
    '"macAddress":"000D3AF87856","category":"FlowLogFlowEvent","targetResourceID":"/subscriptions/0/resourceGroups/shop/providers'
    '/Microsoft.Network/virtualNetworks/shop","operationName":"FlowLogFlowEvent","flowRecords":{"flows":[{"aclID":"web-nsg",'
    '"flowGroups":[{"rule":"DefaultRule_AllowVnetOutBound","flowTuples":['
)
AZURE_BEGIN = '"1795503600633,10.0.0.1,10.0.0.2,43089,8080,6,O,B,NX,0,0,0,0"'  # a flow that begins, and has no bytes
AZURE_END = "]}]}]}}"
ADDRESS_FORMATS = ("aws", "zeek")  # those whose addresses are written beside them, with their apps


def packets(payload: Integers) -> Integers:
    return -(-payload // PAYLOAD_PER_PACKET)


def bytes_on_wire(payload: Integers) -> Integers:
    return payload + packets(payload) * HEADERS_PER_PACKET


Format = Literal[
    "csv",
    "jsonl",
    "aws",
    "zeek",
    "parquet",
    "gcp",
    "suricata",
    "azure",
    "netobserv",
    "nfdump-csv",
    "nfdump-ndjson",
    "goflow2",
]
Columns = dict[str, Any]  # by name: numpy's integers or Arrow's strings, both of which `pa.array` takes

CHUNK_ROWS = 1 << 18
SERVER_PORTS = np.array([443, 5432, 6379, 8080])


@dataclass(frozen=True)
class Workload:
    """What `flows` is asked for; the command's options say what each means."""

    format: Format
    rows: int
    files: int
    apps: int
    pairs: int
    hours: int
    skew: float
    seed: int
    gzip: bool
    first_hour: int

    @property
    def suffix(self) -> str:
        """What the files' names end in."""
        suffix = LAYOUTS[self.format].suffix
        return f"{suffix}.gz" if self.gzip and not suffix.endswith(".gz") else suffix

    @property
    def vpcs(self) -> int:
        """Most logs' records have no VPC here. AWS's version 2 neither, but there an account stands for each."""
        return 2 if self.format in ("csv", "jsonl", "aws", "parquet") else 1

    @property
    def triples(self) -> int:
        """How many (src, dest, vpc) there can be."""
        return self.apps**2 * self.vpcs

    def check(self) -> None:
        """Refuses numbers that contradict each other.

        Raises:
            typer.BadParameter: They do.
        """
        if self.pairs > self.triples:
            raise typer.BadParameter(f"{self.apps} apps make {self.triples} pairs at most, not {self.pairs}")
        if self.rows < max(self.pairs, self.hours):
            raise typer.BadParameter(f"{self.rows} rows cannot hold {self.pairs} pairs in {self.hours} hours")
        if self.skew and not self.pairs:
            raise typer.BadParameter("--skew needs --pairs to spread the rows over")
        if self.gzip and self.format == "parquet":
            raise typer.BadParameter("--gzip is for text; Parquet is packed as it is")


class Pairs:
    """The (src, dest, vpc) triples that rows are drawn from, each as one number below `Workload.triples`."""

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._triples = np.random.default_rng(work.seed).choice(work.triples, work.pairs, replace=False)
        cumulated = np.cumsum(np.arange(1, work.pairs + 1, dtype=np.float64) ** -work.skew)
        self._shares = cumulated / cumulated[-1:]  # of the first pair, of the first two, ... of all

    def draw(self, rng: np.random.Generator, row: Integers) -> Integers:
        """A triple for each row, given the rows' numbers in the whole workload."""
        work = self._work
        if not work.pairs:
            return rng.integers(work.triples, size=len(row))
        drawn = np.searchsorted(self._shares, rng.random(len(row)), side="right")
        # Chance may pass a rare pair by, so every n-th row takes the next pair in turn.
        turn, between = np.divmod(row, work.rows // work.pairs)
        return self._triples[np.where((between == 0) & (turn < work.pairs), turn, drawn)]


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows, as arrays of one length. An app or VPC is its position in a list of `Names`."""

    row: Integers
    hour: Integers
    src: Integers
    dest: Integers
    vpc: Integers
    bytes_tx: Integers
    bytes_rx: Integers


def draw_chunk(work: Workload, pairs: Pairs, rng: np.random.Generator, row: Integers) -> Chunk:
    """The rows of those numbers. Rows are in the order of time, as collectors write them."""

    def sizes() -> Integers:
        # A median of 3 kB, and a long tail. Never 0, which flowlog can be told to reject.
        return rng.lognormal(8, 2, len(row)).astype(np.int64) + 1

    app_pair, vpc = np.divmod(pairs.draw(rng, row), work.vpcs)
    src, dest = np.divmod(app_pair, work.apps)
    return Chunk(row, work.first_hour + row * work.hours // work.rows, src, dest, vpc, sizes(), sizes())


class Names:
    """What the positions in a `Chunk` stand for."""

    def __init__(self, work: Workload) -> None:
        self.apps = pa.array([f"app-{i:05d}" for i in range(work.apps)])
        self.addresses = pa.array([str(IPv4Address("10.0.0.1") + i) for i in range(work.apps)])
        self.interfaces = pa.array([f"eni-{i:017x}" for i in range(work.apps)])
        self.vpcs = pa.array(VPCS)
        self.accounts = pa.array(ACCOUNTS)


def named(names: pa.StringArray, positions: Integers) -> pa.StringArray:
    return names.take(pa.array(positions, pa.int64()))


def flow_columns(chunk: Chunk, names: Names, _rng: np.random.Generator) -> Columns:
    return {
        "hour": chunk.hour,
        "src_app": named(names.apps, chunk.src),
        "dest_app": named(names.apps, chunk.dest),
        "vpc_id": named(names.vpcs, chunk.vpc),
        "bytes_tx": chunk.bytes_tx,
        "bytes_rx": chunk.bytes_rx,
    }


def aws_columns(chunk: Chunk, names: Names, rng: np.random.Generator) -> Columns:
    """One direction of a conversation in each row: the client's request, or as often the server's answer."""
    count = len(chunk.row)
    answer = rng.integers(2, size=count) == 1
    client_port = rng.integers(*EPHEMERAL_PORTS, count)
    server_port = SERVER_PORTS[chunk.dest % len(SERVER_PORTS)]
    size = np.where(answer, chunk.bytes_rx, chunk.bytes_tx)
    start = chunk.hour * SECONDS_PER_HOUR + rng.integers(SECONDS_PER_HOUR - 60, size=count)
    return {
        "account-id": named(names.accounts, chunk.vpc),
        "interface-id": named(names.interfaces, chunk.src),
        "srcaddr": named(names.addresses, np.where(answer, chunk.dest, chunk.src)),
        "dstaddr": named(names.addresses, np.where(answer, chunk.src, chunk.dest)),
        "srcport": np.where(answer, server_port, client_port),
        "dstport": np.where(answer, client_port, server_port),
        "packets": packets(size),
        "bytes": size,
        "start": start,
        "end": start + rng.integers(60, size=count),
    }


def zeek_columns(chunk: Chunk, names: Names, rng: np.random.Generator) -> Columns:
    count = len(chunk.row)
    return {
        "seconds": chunk.hour * SECONDS_PER_HOUR + rng.integers(SECONDS_PER_HOUR, size=count),
        # Both stand behind a decimal point; six digits need no padding.
        "micros": rng.integers(100_000, MICROSECONDS, count),
        "duration": rng.integers(100_000, MICROSECONDS, count),
        "uid": chunk.row + 10**16,
        "orig_h": named(names.addresses, chunk.src),
        "orig_p": rng.integers(*EPHEMERAL_PORTS, count),
        "resp_h": named(names.addresses, chunk.dest),
        "resp_p": SERVER_PORTS[chunk.dest % len(SERVER_PORTS)],
        "orig_bytes": chunk.bytes_tx,
        "resp_bytes": chunk.bytes_rx,
        "orig_pkts": packets(chunk.bytes_tx),
        "resp_pkts": packets(chunk.bytes_rx),
        "orig_ip_bytes": bytes_on_wire(chunk.bytes_tx),
        "resp_ip_bytes": bytes_on_wire(chunk.bytes_rx),
    }


def log_columns(chunk: Chunk, names: Names, rng: np.random.Generator) -> Columns:
    """One direction of a conversation in each row, as in `aws_columns`; what JSON's formats and nfdump's say of it."""
    count = len(chunk.row)
    columns = aws_columns(chunk, names, rng)
    ends = {"src": columns["srcaddr"], "dst": columns["dstaddr"]}
    millis = columns["start"] * 1000 + rng.integers(1000, size=count)
    return {
        **ends,
        "src_port": columns["srcport"],
        "dst_port": columns["dstport"],
        "bytes": columns["bytes"],
        "packets": columns["packets"],
        "number": chunk.row + 10**14,
        **_times(millis, millis + rng.integers(30_000, size=count)),
        **{f"{end}_octets": pc.replace_substring(addresses, ".", "-") for end, addresses in ends.items()},
    }


def conversation_columns(chunk: Chunk, names: Names, rng: np.random.Generator) -> Columns:
    """Both directions of a conversation in each row, whose source is the client."""
    count = len(chunk.row)
    millis = chunk.hour * MILLISECONDS_PER_HOUR + rng.integers(MILLISECONDS_PER_HOUR - 30_000, size=count)
    return {
        "src": named(names.addresses, chunk.src),
        "dst": named(names.addresses, chunk.dest),
        "src_port": rng.integers(*EPHEMERAL_PORTS, count),
        "dst_port": SERVER_PORTS[chunk.dest % len(SERVER_PORTS)],
        "sent": chunk.bytes_tx,
        "received": chunk.bytes_rx,
        "packets_sent": packets(chunk.bytes_tx),
        "packets_received": packets(chunk.bytes_rx),
        "number": chunk.row + 10**14,
        "between": pa.array(np.where(chunk.row % AZURE_TUPLES, ",", AZURE_END + "," + AZURE_START + AZURE_BEGIN + ",")),
        **_times(millis, millis + rng.integers(30_000, size=count)),
    }


def _times(start: Integers, end: Integers) -> Columns:
    """Both times in milliseconds, and as text without a zone."""
    times = {"start": start, "end": end}
    return times | {
        f"{name}_text": pc.strftime(pa.array(ms, pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%S") for name, ms in times.items()
    }


@dataclass(frozen=True)
class Layout:
    """How a format is written. In `row`, `<name>` stands for the cell of that column; Parquet has no text."""

    suffix: str
    columns: Callable[[Chunk, Names, np.random.Generator], Columns]
    header: str = ""
    row: str = ""
    trailer: str = ""


LAYOUTS: dict[Format, Layout] = {
    "csv": Layout(
        ".csv",
        flow_columns,
        header=",".join(FLOW_COLUMNS) + "\n",
        row="<hour>,<src_app>,<dest_app>,<vpc_id>,<bytes_tx>,<bytes_rx>\n",
    ),
    "jsonl": Layout(
        ".jsonl",
        flow_columns,
        row='{"hour": <hour>, "src_app": "<src_app>", "dest_app": "<dest_app>", "vpc_id": "<vpc_id>", '
        '"bytes_tx": <bytes_tx>, "bytes_rx": <bytes_rx>}\n',
    ),
    "aws": Layout(  # the default format, version 2
        ".log.gz",
        aws_columns,
        header="version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
        "start end action log-status\n",
        row="2 <account-id> <interface-id> <srcaddr> <dstaddr> <srcport> <dstport> 6 <packets> <bytes> "
        "<start> <end> ACCEPT OK\n",
    ),
    "zeek": Layout(
        ".log",
        zeek_columns,
        header=ZEEK_HEADER,
        row="<seconds>.<micros> C<uid> <orig_h> <orig_p> <resp_h> <resp_p> tcp - 0.<duration> <orig_bytes> "
        "<resp_bytes> SF T T 0 ShADadFf <orig_pkts> <orig_ip_bytes> <resp_pkts> <resp_ip_bytes> -\n".replace(" ", "\t"),
        trailer=ZEEK_TRAILER,
    ),
    "parquet": Layout(".parquet", flow_columns),
    "gcp": Layout(
        ".json",
        log_columns,
        row='{"insertId":"<number>","jsonPayload":{"bytes_sent":"<bytes>","connection":{"src_ip":"<src>","dest_ip":"<dst>","protocol":6,'
        '"src_port":<src_port>,"dest_port":<dst_port>},"dest_instance":{"project_id":"shop","zone":"us-central1-a",'
        '"vm_name":"vm-<dst_octets>","managed_instance_group":{"name":"app-<dst_octets>","zone":"us-central1-a"}},"dest_vpc":'
        '{"project_id":"shop","vpc_name":"shop","subnetwork_name":"web"},"end_time":"<end_text>000000Z","packets_sent":"<packets>",'
        '"reporter":"SRC","src_instance":{"project_id":"shop","zone":"us-central1-a","vm_name":"vm-<src_octets>",'
        '"managed_instance_group":{"name":"app-<src_octets>","zone":"us-central1-a"}},"src_vpc":{"project_id":"shop",'
        '"vpc_name":"shop","subnetwork_name":"web"},"start_time":"<start_text>000000Z"},"logName":"projects/shop/logs/'
        'compute.googleapis.com%2Fvpc_flows","timestamp":"<end_text>000000Z"}\n',
    ),
    "suricata": Layout(
        ".json",
        conversation_columns,
        row='{"timestamp":"<end_text>000+0000","flow_id":<number>,"in_iface":"ens5","event_type":"flow","src_ip":"<src>",'
        '"dest_ip":"<dst>","src_port":<src_port>,"dest_port":<dst_port>,"proto":"TCP","flow":{"pkts_toserver":<packets_sent>,'
        '"pkts_toclient":<packets_received>,"bytes_toserver":<sent>,"bytes_toclient":<received>,"start":"<start_text>000+0000",'
        '"end":"<end_text>000+0000","reason":"timeout"}}\n',
    ),
    "azure": Layout(
        ".json",
        conversation_columns,
        header='{"records":[' + AZURE_START + AZURE_BEGIN,
        row='<between>"<start>,<src>,<dst>,<src_port>,<dst_port>,6,O,E,NX,<packets_sent>,<sent>,<packets_received>,<received>"',
        trailer=AZURE_END + "]}",
    ),
    "netobserv": Layout(
        ".json",
        log_columns,
        row='{"Bytes":<bytes>,"DstAddr":"<dst>","DstK8S_Namespace":"shop","DstK8S_OwnerName":"app-<dst_octets>","DstK8S_Type":"Pod",'
        '"DstPort":<dst_port>,"FlowDirection":0,"Packets":<packets>,"Proto":6,"SrcAddr":"<src>","SrcK8S_Namespace":"shop",'
        '"SrcK8S_OwnerName":"app-<src_octets>","SrcK8S_Type":"Pod","SrcPort":<src_port>,"TimeFlowEndMs":<end>,'
        '"TimeFlowStartMs":<start>,"_RecordType":"flowLog"}\n',
    ),
    "nfdump-csv": Layout(
        ".csv",
        log_columns,
        header="cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,packets,bytes\n",
        row="<number>,2,<start>,<end>,6,<src>,<src_port>,<dst>,<dst_port>,0,0,1,2,...AP.SF,0,<packets>,<bytes>\n",
    ),
    "nfdump-ndjson": Layout(
        ".ndjson",
        conversation_columns,
        row='{"cnt":<number>,"type":"FLOW","export_sysid":1,"first":"<start_text>","last":"<end_text>","in_packets":<packets_sent>,'
        '"in_bytes":<sent>,"out_packets":<packets_received>,"out_bytes":<received>,"proto":6,"tcp_flags":"...AP.SF",'
        '"src_port":<src_port>,"dst_port":<dst_port>,"src4_addr":"<src>","dst4_addr":"<dst>","sampled":0}\n',
    ),
    "goflow2": Layout(
        ".json",
        log_columns,
        row='{"type":"IPFIX","time_received_ns":<end>000000,"sequence_num":<number>,"sampling_rate":100,"sampler_address":"192.0.2.1",'
        '"time_flow_start_ns":<start>000000,"time_flow_end_ns":<end>000000,"bytes":<bytes>,"packets":<packets>,"src_addr":"<src>",'
        '"dst_addr":"<dst>","etype":"IPv4","proto":"TCP","src_port":<src_port>,"dst_port":<dst_port>,"in_if":1,"out_if":2}\n',
    ),
}


def rendered(row: str, columns: Columns) -> pa.Buffer:
    """The text of some rows: `row` once for each, with the cells of `columns` in it."""
    parts = re.split("<(.+?)>", row)  # what is between the cells, and in every second place a column's name
    cells: list[Any] = [pa.array(columns[part]).cast(pa.string()) if i % 2 else part for i, part in enumerate(parts)]
    lines: pa.StringArray = pc.binary_join_element_wise(*cells, "")
    _validity, _offsets, characters = lines.buffers()
    return cast("pa.Buffer", characters)  # an array's strings lie one behind the other: this is the file's text


def write_text(path: Path, layout: Layout, chunks: Iterable[Columns]) -> None:
    # gzip at its lowest level takes half of the time as it is.
    packed = path.suffix == ".gz"
    with gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) if packed else path.open("wb") as file:
        file.write(layout.header.encode())
        for columns in chunks:
            file.write(rendered(layout.row, columns))
        file.write(layout.trailer.encode())


def write_parquet(path: Path, chunks: Iterable[Columns]) -> None:
    types = {"hour": pa.int64(), "bytes_tx": pa.int64(), "bytes_rx": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in FLOW_COLUMNS])
    with pq.ParquetWriter(path, schema) as writer:
        for columns in chunks:
            writer.write_batch(pa.record_batch([pa.array(columns[name]) for name in FLOW_COLUMNS], schema=schema))


def write_flows(out: Path, work: Workload) -> None:
    """Writes a workload's files, each with an even share of the rows and a random sequence of its own."""
    layout, pairs, names = LAYOUTS[work.format], Pairs(work), Names(work)

    def chunks(file: int, rng: np.random.Generator) -> Iterator[Columns]:
        first, end = (work.rows * i // work.files for i in (file, file + 1))
        for start in range(first, end, CHUNK_ROWS):
            row = np.arange(start, min(start + CHUNK_ROWS, end))
            yield layout.columns(draw_chunk(work, pairs, rng, row), names, rng)

    for file, rng in enumerate(np.random.default_rng(work.seed).spawn(work.files)):
        path = out / f"flows-{file:05d}{work.suffix}"
        if work.format == "parquet":
            write_parquet(path, chunks(file, rng))
        else:
            write_text(path, layout, chunks(file, rng))


def write_apps(path: Path, work: Workload) -> None:
    """Writes which app has which address, for the formats that know addresses only."""
    names = Names(work)
    rows = rendered("<address>/32,<app>,\n", {"address": names.addresses, "app": names.apps})
    path.write_bytes(b"cidr,app,vpc_id\n" + rows.to_pybytes())


cli = typer.Typer(add_completion=False)


@cli.command()
def flows(
    out_dir: Annotated[Path, typer.Argument(help="A folder for the files; made if need be, and empty.")],
    raw_format: Annotated[Format, typer.Option("--format", help="The raw format.")] = "csv",
    rows: Annotated[int, typer.Option(min=1, help="Records in all files.")] = 1_000_000,
    files: Annotated[int, typer.Option(min=1, help="Files that share the rows evenly.")] = 1,
    apps: Annotated[int, typer.Option(min=1, max=2**24 - 2, help="Apps to draw from.")] = 200,
    pairs: Annotated[int, typer.Option(min=0, help="Distinct (src, dest, vpc); with 0 each row draws its own.")] = 2_000,
    hours: Annotated[int, typer.Option(min=1, help="Distinct hours.")] = 24,
    skew: Annotated[
        float,
        typer.Option(min=0, help="Zipf's exponent: the k-th pair has k**-SKEW as many rows as the first."),
    ] = 0.0,
    first_hour: Annotated[int, typer.Option(min=1, help="The first of them.")] = FIRST_HOUR,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same rows.")] = 7,
    gzip: Annotated[bool, typer.Option("--gzip", help="Pack text with gzip; aws always is.")] = False,
    apps_file: Annotated[
        Path | None, typer.Option(help="Where aws and zeek write whose address is whose [OUT_DIR.apps.csv].")
    ] = None,
) -> None:
    """Write valid records of any number, for benchmarks.

    Example: python -m benchmarks.generate bench/aws --format aws --rows 20000000 --files 8 --skew 1.1
    """
    work = Workload(raw_format, rows, files, apps, pairs, hours, skew, seed, gzip, first_hour)
    work.check()
    out_dir.mkdir(parents=True, exist_ok=True)
    if any(out_dir.iterdir()):
        raise typer.BadParameter(f"{out_dir} is not empty; what is in it would be read along")
    write_flows(out_dir, work)
    if raw_format in ADDRESS_FORMATS:
        write_apps(apps_file or out_dir.with_name(f"{out_dir.name}.apps.csv"), work)


if __name__ == "__main__":
    cli()
