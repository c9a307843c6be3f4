"""Makes the sample in `data/raw`: a morning of a little shop's traffic in each raw format, with the faults that real logs have.

    python data/generate.py

The sample's bytes depend on the seed alone, not on the machine or on Python's version: see `Draw` and `stored_gzip`.
`benchmarks/generate.py` makes inputs of any size.

What is said here about the formats is from
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html (fields, tcp-flags, log-status),
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html (the files in S3),
    https://docs.zeek.org/en/v4.0.9/scripts/base/protocols/conn/main.zeek.html (fields, conn_state, history),
    https://learn.microsoft.com/azure/network-watcher/vnet-flow-logs-overview (the records of Azure, and their tuples),
    rwcut(1) of SiLK, ra(1) of Argus, and CONFIG-KEYS of pmacct (fields),
    https://docs.aws.amazon.com/vpc/latest/tgw/tgw-flow-logs.html (a Transit Gateway's fields and directions),
    https://schema.ocsf.io/1.1.0/classes/network_activity (its members),
    https://cloud.google.com/vpc/docs/about-flow-logs-records (the fields of Google's records, and who reports a flow),
    https://docs.suricata.io/en/latest/output/eve/eve-json-format.html (events),
    https://github.com/netobserv/network-observability-operator/blob/main/docs/flows-format.adoc (fields).
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

import typer

T = TypeVar("T")

FLOW_COLUMNS = ("hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx")
FIRST_HOUR = 498_750  # hours since the Unix epoch: 2026-11-24T06 UTC
SECONDS_PER_HOUR = 3600
MICROSECONDS = 1_000_000
EPHEMERAL_PORTS = (32_768, 60_999)  # Linux's default range
PAYLOAD_PER_PACKET = 1_400  # bytes, about what an Ethernet frame leaves
HEADERS_PER_PACKET = 40  # bytes, IPv4 and TCP; near enough for the others
FRAME_HEADERS = HEADERS_PER_PACKET + 14  # bytes, with those of Ethernet

ACCOUNT = "123456789010"
VPC_SHOP = "vpc-0f3c5a91d2b7e4680"
VPC_BACK = "vpc-04d8e2b6a19c7f350"

# --- The little shop ----------------------------------------------------------------------------------------


class Network(NamedTuple):
    """Where an app's instances live: a row of apps.csv. An empty `vpc_id` means any VPC."""

    cidr: str
    app: str
    vpc_id: str


APPS = (
    Network("10.20.1.0/24", "web", ""),
    Network("fd80:20:0:1::/64", "web", ""),
    Network("10.20.2.0/24", "cart", ""),
    Network("10.20.3.0/24", "checkout", ""),
    Network("10.20.4.0/24", "catalog", ""),
    Network("fd80:20:0:4::/64", "catalog", ""),
    Network("10.20.5.0/24", "payments", ""),
    Network("10.20.6.0/24", "users", ""),
    Network("10.20.7.0/24", "mailer", ""),
    Network("10.20.53.0/24", "dns", ""),
    # The longest prefix wins: the cache has a corner of the database's network.
    Network("10.30.0.0/16", "orders-db", ""),
    Network("10.30.7.0/24", "cache", ""),
    Network("10.31.8.0/24", "queue", ""),
    # Two VPCs that use the same addresses: only with the VPC does an address say which app it is.
    Network("10.99.0.0/24", "search", VPC_SHOP),
    Network("10.99.0.0/24", "metrics", VPC_BACK),
)

INTERNET = "internet"
#: Customers, a payment provider, scanners: addresses for documentation (RFC 5737, 3849), not in apps.csv.
OUTSIDE = (
    Network("203.0.113.0/24", INTERNET, ""),
    Network("198.51.100.0/24", INTERNET, ""),
    Network("2001:db8::/32", INTERNET, ""),
)
INSTANCES = {4: 3, 6: 2}  # IP version -> instances in each network


class Link(NamedTuple):
    """One app that calls another.

    Attributes:
        vpc_id: Where it is seen.
        request, response: Medians of a conversation's payload from the client and from the server, bytes.
        weight: Its share of all conversations.
    """

    client: str
    server: str
    vpc_id: str
    protocol: Literal["tcp", "udp", "icmp"]
    port: int
    request: int
    response: int
    weight: int


LINKS = (
    Link(INTERNET, "web", VPC_SHOP, "tcp", 443, 2_400, 46_000, 7),
    Link("web", "catalog", VPC_SHOP, "tcp", 8080, 900, 18_000, 5),
    Link("web", "cart", VPC_SHOP, "tcp", 8080, 700, 2_200, 3),
    Link("web", "checkout", VPC_SHOP, "tcp", 8080, 1_500, 2_800, 2),
    Link("web", "users", VPC_SHOP, "tcp", 8080, 600, 1_400, 3),
    Link("web", "dns", VPC_SHOP, "udp", 53, 140, 260, 3),
    Link("catalog", "search", VPC_SHOP, "tcp", 9200, 800, 24_000, 3),
    Link("cart", "cache", VPC_SHOP, "tcp", 6379, 400, 900, 4),
    Link("checkout", "payments", VPC_SHOP, "tcp", 443, 2_100, 1_300, 2),
    Link("checkout", "orders-db", VPC_SHOP, "tcp", 5432, 3_200, 5_600, 3),
    Link("checkout", "queue", VPC_SHOP, "tcp", 5672, 1_800, 240, 2),
    Link("payments", INTERNET, VPC_SHOP, "tcp", 443, 2_600, 3_900, 1),
    Link("mailer", "queue", VPC_SHOP, "tcp", 5672, 260, 1_700, 1),
    Link("mailer", INTERNET, VPC_SHOP, "tcp", 587, 9_000, 700, 1),
    Link("orders-db", "metrics", VPC_BACK, "udp", 8125, 450, 0, 2),  # statsd never answers
    Link("queue", "metrics", VPC_BACK, "udp", 8125, 350, 0, 2),
    Link("metrics", "orders-db", VPC_BACK, "icmp", 0, 560, 560, 1),
)
WEIGHTED_LINKS = tuple(link for link in LINKS for _ in range(link.weight))

#: The morning of 2026-11-24: each hour as often as its share of the traffic asks.
WEIGHTED_HOURS = tuple(FIRST_HOUR + i for i, load in enumerate((5, 8, 10, 12, 13, 11)) for _ in range(load))


def instances(app: str, vpc_id: str) -> list[str]:
    """The addresses of an app's instances that can be met in a VPC."""
    networks = [ip_network(place.cidr) for place in APPS + OUTSIDE if place.app == app and place.vpc_id in ("", vpc_id)]
    return [str(network[10 + i]) for network in networks for i in range(INSTANCES[network.version])]


def endpoints(client: str, server: str, vpc_id: str) -> list[tuple[str, str]]:
    """The pairs of addresses with which two apps can talk: both of one version of IP."""
    addresses = product(instances(client, vpc_id), instances(server, vpc_id))
    return [(source, target) for source, target in addresses if (":" in source) == (":" in target)]


# --- The sample ---------------------------------------------------------------------------------------------


class Draw:
    """Draws for one file of the sample, the same on every machine.

    Made of `Random.random()` and exact arithmetic: that is the only method whose sequence Python promises to
    keep ("Notes on Reproducibility" in the documentation of `random`), and `log`, `exp` and powers may differ
    in the last bit from one C library to the next. Each file has its own sequence, so that a change to one
    leaves the others as they are.
    """

    def __init__(self, seed: int, file: str) -> None:
        self._random = random.Random(f"{seed}/{file}").random

    def integer(self, low: int, high: int) -> int:
        """Any integer from `low` to `high`, both included."""
        return low + int(self._random() * (high - low + 1))

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self._random() * len(choices))]

    def around(self, median: int) -> int:
        """A size with a long tail, as traffic has: from an eleventh to eleven times the median."""
        share = self._random()
        return int(median * (0.1 + share) / (1.1 - share))


@dataclass(frozen=True)
class Conversation:
    """What one connection, or one exchange of datagrams, did.

    Attributes:
        start, end: Its first and its last packet, microseconds since the epoch.
        request, response: Payload from the client and from the server, bytes.
    """

    link: Link
    client: str
    server: str
    client_port: int
    start: int
    end: int
    request: int
    response: int


#: Medians, microseconds.
DURATION = {"tcp": 60 * MICROSECONDS, "udp": MICROSECONDS // 20, "icmp": 2 * MICROSECONDS}
#: AWS writes a record at least every ten minutes, however long the connection lives.
LONGEST = 600 * MICROSECONDS


def conversation(draw: Draw, hour: int) -> Conversation:
    """Draws a conversation that ends in the hour."""
    link = draw.one_of(WEIGHTED_LINKS)
    client, server = draw.one_of(endpoints(link.client, link.server, link.vpc_id))
    request = draw.around(link.request)
    end = hour * SECONDS_PER_HOUR * MICROSECONDS + draw.integer(0, SECONDS_PER_HOUR * MICROSECONDS - 1)
    return Conversation(
        link=link,
        client=client,
        server=server,
        client_port=draw.integer(*EPHEMERAL_PORTS),
        start=end - min(draw.around(DURATION[link.protocol]), LONGEST),
        end=end,
        request=request,
        response=request if link.protocol == "icmp" else draw.around(link.response),  # an echo is as long
    )


def packets(payload: int) -> int:
    return -(-payload // PAYLOAD_PER_PACKET)


def bytes_on_wire(payload: int) -> int:
    return payload + packets(payload) * HEADERS_PER_PACKET


# Each bad line has one fault, and would be a valid record without it.
CSV_FAULTS = {
    "bytes_tx is no number": f"498751,web,cart,{VPC_SHOP},12x,2210",
    "src_app is empty": f"498751,,catalog,{VPC_SHOP},870,17650",
    "bytes_rx is negative": f"498752,cart,cache,{VPC_SHOP},415,-880",
    "hour is 0": f"0,web,users,{VPC_SHOP},590,1385",
    "a cell too few": f"498753,checkout,payments,{VPC_SHOP},2120",
    "a cell too many": f"498754,web,checkout,{VPC_SHOP},1480,2790,0",
    "bytes_rx is above 2**53 - 1": f"498755,internet,web,{VPC_SHOP},2390,{2**53}",
}
JSON_START = '{"hour": 498752, "src_app": "web", "dest_app": "cart"'
JSON_FAULTS = {
    "bytes_tx is a string": JSON_START + f', "vpc_id": "{VPC_SHOP}", "bytes_tx": "5", "bytes_rx": 2210}}',
    "bytes_tx is a float": JSON_START + f', "vpc_id": "{VPC_SHOP}", "bytes_tx": 5.0, "bytes_rx": 2210}}',
    "bytes_tx is a boolean": JSON_START + f', "vpc_id": "{VPC_SHOP}", "bytes_tx": true, "bytes_rx": 2210}}',
    "vpc_id is missing": JSON_START + ', "bytes_tx": 705, "bytes_rx": 2210}',
    "the line is cut": JSON_START + ', "vpc_id": "vpc-0f3c5a',
}


def flow_records(draw: Draw, count: int) -> list[tuple[int, str, str, str, int, int]]:
    """Records that carry their hour and apps themselves (`FLOW_COLUMNS`), hour by hour."""

    def record() -> tuple[int, str, str, str, int, int]:
        hour, link = draw.one_of(WEIGHTED_HOURS), draw.one_of(WEIGHTED_LINKS)
        sizes = draw.around(link.request), draw.around(link.response)
        return hour, link.client, link.server, link.vpc_id, *sizes

    return sorted((record() for _ in range(count)), key=lambda record: record[0])


def scatter(draw: Draw, lines: list[str], faults: Iterable[str]) -> list[str]:
    """The lines with the faults among them."""
    scattered = list(lines)
    for fault in faults:
        scattered.insert(draw.integer(0, len(scattered)), fault)
    return scattered


def text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def csv_sample(draw: Draw) -> bytes:
    """About 600 flow records as CSV."""
    lines = [",".join(map(str, record)) for record in flow_records(draw, 593)]
    return text([",".join(FLOW_COLUMNS), *scatter(draw, lines, CSV_FAULTS.values())])


def jsonl_sample(draw: Draw) -> bytes:
    """About 400 flow records as JSON Lines."""
    lines = [json.dumps(dict(zip(FLOW_COLUMNS, record, strict=True))) for record in flow_records(draw, 395)]
    return text(scatter(draw, lines, JSON_FAULTS.values()))


# A flow log has its fields in the order that its owner asked for; this one is not the default.
AWS_HEADER = (
    "version vpc-id interface-id account-id flow-direction action log-status srcaddr srcport dstaddr dstport "
    "protocol tcp-flags packets bytes start end"
)
AWS_VERSION = 5  # the highest version among the fields: that of flow-direction
AWS_PROTOCOL = {"icmp": 1, "tcp": 6, "udp": 17}  # IANA's numbers
#: Of the client's and of the server's record: SYN and SYN-ACK; both with FIN; neither, for it began long ago.
AWS_TCP_FLAGS = ((2, 18), (3, 19), (0, 0))
SCANNED_PORTS = (22, 23, 3389, 5432)

AwsRecord = dict[str, str | int]


def aws_capture(vpc_id: str, address: str, start: int, end: int, status: str) -> AwsRecord:
    """What even a record without traffic has: an interface, a window (epoch seconds), a status."""
    interface = blake2b(f"{vpc_id}/{address}".encode(), digest_size=8).hexdigest()
    return {
        "version": AWS_VERSION,
        "account-id": ACCOUNT,
        "interface-id": f"eni-0{interface}",
        "start": start,
        "end": end,
        "log-status": status,
    }


def aws_conversation(draw: Draw, talk: Conversation) -> Iterator[AwsRecord]:
    """A conversation as the interfaces of the shop see it: each direction that has traffic at the sender's interface, and once
    more at the receiver's; what is outside has none.

    AWS's intervals begin at other times at each interface; here both ends have the same.
    """
    link = talk.link
    flags = draw.one_of(AWS_TCP_FLAGS) if link.protocol == "tcp" else (0, 0)
    client = (talk.client, 0 if link.protocol == "icmp" else talk.client_port)
    server = (talk.server, link.port)
    outside = {client: link.client == INTERNET, server: link.server == INTERNET}
    start, end = talk.start // MICROSECONDS, talk.end // MICROSECONDS
    for source, target, payload, flag in (
        (client, server, talk.request, flags[0]),
        (server, client, talk.response, flags[1]),
    ):
        for here, direction in ((source, "egress"), (target, "ingress")):
            if payload and not outside[here]:
                yield {
                    **aws_capture(link.vpc_id, here[0], start, end, "OK"),
                    "vpc-id": link.vpc_id,
                    "srcaddr": source[0],
                    "srcport": source[1],
                    "dstaddr": target[0],
                    "dstport": target[1],
                    "protocol": AWS_PROTOCOL[link.protocol],
                    "tcp-flags": flag,
                    "packets": packets(payload),
                    "bytes": bytes_on_wire(payload),
                    "flow-direction": direction,
                    "action": "ACCEPT",
                }


def aws_scan(draw: Draw, hour: int) -> AwsRecord:
    """A connection from outside that the security group refuses: SYNs, and no answer."""
    scanner, target = draw.one_of(endpoints(INTERNET, "web", VPC_SHOP))
    start = hour * SECONDS_PER_HOUR + draw.integer(0, SECONDS_PER_HOUR - 60)
    tries = draw.integer(1, 3)
    return {
        **aws_capture(VPC_SHOP, target, start, start + draw.integer(0, 59), "OK"),
        "vpc-id": VPC_SHOP,
        "srcaddr": scanner,
        "srcport": draw.integer(*EPHEMERAL_PORTS),
        "dstaddr": target,
        "dstport": draw.one_of(SCANNED_PORTS),
        "protocol": AWS_PROTOCOL["tcp"],
        "tcp-flags": 2,
        "packets": tries,
        "bytes": tries * HEADERS_PER_PACKET,
        "flow-direction": "ingress",
        "action": "REJECT",
    }


def aws_silence(draw: Draw, hour: int, status: Literal["NODATA", "SKIPDATA"]) -> AwsRecord:
    """A window without traffic (NODATA), or one of which AWS lost records (SKIPDATA): most fields are `-`."""
    address = draw.one_of(instances("mailer", VPC_SHOP))
    start = hour * SECONDS_PER_HOUR + draw.integer(0, SECONDS_PER_HOUR - 60)
    return aws_capture(VPC_SHOP, address, start, start + 59, status)


def aws_sample(draw: Draw, hour: int) -> bytes:
    """A file as AWS leaves it in S3, with the records that end in the hour; a few started in the hour before.

    AWS cuts every five minutes; by the hour, two files are enough.
    """
    records = [record for _ in range(140) for record in aws_conversation(draw, conversation(draw, hour))]
    records += [aws_scan(draw, hour) for _ in range(8)]
    records += [aws_silence(draw, hour, "NODATA") for _ in range(5)]
    records += [aws_silence(draw, hour, "SKIPDATA") for _ in range(2)]
    records.sort(key=lambda record: record["end"])
    lines = (" ".join(str(record.get(field, "-")) for field in AWS_HEADER.split()) for record in records)
    return stored_gzip(text([AWS_HEADER, *lines]))


def aws_name(hour: int) -> str:
    moment = datetime.fromtimestamp(hour * SECONDS_PER_HOUR, UTC)
    return f"aws/{ACCOUNT}_vpcflowlogs_us-east-1_fl-0a1b2c3d_{moment:%Y%m%dT%H%MZ}_1a2b3c4d.log.gz"


# A Transit Gateway's flow log without a chosen format has all fields.
TGW_HEADER = (
    "version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id "
    "tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id "
    "tgw-dst-az-id tgw-pair-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status "
    "type packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired tcp-flags "
    "region flow-direction pkt-src-aws-service pkt-dst-aws-service"
)
TGW = "tgw-0c4e1f7a9b2d36580"
#: The attachment of each VPC, between which all traffic of the sample goes.
TGW_ATTACHMENTS = {VPC_SHOP: "tgw-attach-01f2e3d4c5b6a7980", VPC_BACK: "tgw-attach-0a9b8c7d6e5f41320"}
TGW_WINDOW = 60  # seconds


def tgw_record(start: int, source: str, target: str, status: str) -> AwsRecord:
    """What even a record without traffic has, of what goes from one VPC to another."""
    return {
        "version": 6,
        "resource-type": "TransitGateway",
        "account-id": ACCOUNT,
        "tgw-id": TGW,
        "tgw-attachment-id": TGW_ATTACHMENTS[source],
        "tgw-pair-attachment-id": TGW_ATTACHMENTS[target],
        "tgw-src-vpc-id": source,
        "tgw-dst-vpc-id": target,
        "start": start,
        "end": start + TGW_WINDOW - 1,
        "log-status": status,
        "region": "us-east-1",
    }


def tgw_conversation(draw: Draw, hour: int) -> Iterator[AwsRecord]:
    """A minute of a connection between the VPCs: each direction twice, as it comes into the gateway and as it goes out."""
    start = hour * SECONDS_PER_HOUR + draw.integer(0, 59) * TGW_WINDOW
    client, server = draw.one_of(instances("cart", VPC_SHOP)), draw.one_of(instances("orders-db", VPC_BACK))
    port = draw.integer(*EPHEMERAL_PORTS)
    for vpcs, source, target, payload, flag in (
        ((VPC_SHOP, VPC_BACK), (client, port), (server, 8080), draw.around(900), 2),
        ((VPC_BACK, VPC_SHOP), (server, 8080), (client, port), draw.around(18_000), 18),
    ):
        seen = tgw_record(start, *vpcs, "OK") | {
            "srcaddr": source[0],
            "srcport": source[1],
            "dstaddr": target[0],
            "dstport": target[1],
            "protocol": AWS_PROTOCOL["tcp"],
            "packets": packets(payload),
            "bytes": bytes_on_wire(payload),
            "type": "IPv4",
            **{f"packets-lost-{why}": 0 for why in ("no-route", "blackhole", "mtu-exceeded", "ttl-expired")},
            "tcp-flags": flag,
        }
        here, there = seen["tgw-attachment-id"], seen["tgw-pair-attachment-id"]
        yield seen | {"flow-direction": "ingress"}
        yield seen | {"flow-direction": "egress", "tgw-attachment-id": there, "tgw-pair-attachment-id": here}


def tgw_sample(draw: Draw, hour: int) -> bytes:
    """A file as AWS leaves it in S3, with 15 connections between the VPCs, and minutes without traffic."""
    records = [record for _ in range(15) for record in tgw_conversation(draw, hour)]
    records += [tgw_record(hour * SECONDS_PER_HOUR + i * TGW_WINDOW, VPC_SHOP, VPC_BACK, "NODATA") for i in range(3)]
    records.sort(key=lambda record: record["end"])
    lines = (" ".join(str(record.get(field, "-")) for field in TGW_HEADER.split()) for record in records)
    return stored_gzip(text([TGW_HEADER, *lines]))


def tgw_name(hour: int) -> str:
    moment = datetime.fromtimestamp(hour * SECONDS_PER_HOUR, UTC)
    return f"aws-tgw/{ACCOUNT}_vpcflowlogs_us-east-1_fl-0e5f6a7b_{moment:%Y%m%dT%H%MZ}_5e6f7a8b.log.gz"


OCSF_DIRECTIONS = {"ingress": 1, "egress": 2}


def ocsf_event(record: AwsRecord) -> dict[str, object]:
    """A VPC's record as OCSF's examples map it; of the endpoints, only the reporter's has a VPC."""
    reporter = {"interface_uid": record["interface-id"], "vpc_uid": record.get("vpc-id", VPC_SHOP)}
    direction = str(record.get("flow-direction", "-"))

    def endpoint(side: str, is_reporter: bool) -> dict[str, object]:
        return {"ip": record.get(f"{side}addr", "-"), "port": record.get(f"{side}port"), **(reporter if is_reporter else {})}

    has_traffic = "bytes" in record
    return {
        "metadata": {
            "product": {"name": "Amazon VPC", "vendor_name": "AWS", "feature": {"name": "Flowlogs"}},
            "version": "1.1.0",
        },
        "cloud": {"account": {"uid": record["account-id"]}, "region": "us-east-1", "provider": "AWS"},
        "src_endpoint": endpoint("src", direction != "ingress"),
        "dst_endpoint": endpoint("dst", direction == "ingress"),
        "connection_info": {
            "protocol_num": record.get("protocol"),
            "tcp_flags": record.get("tcp-flags"),
            "direction_id": OCSF_DIRECTIONS.get(direction, 99),
        },
        "traffic": {"bytes": record["bytes"], "packets": record["packets"]} if has_traffic else None,
        "time": int(record["start"]) * 1000,
        "start_time": int(record["start"]) * 1000,
        "end_time": int(record["end"]) * 1000,
        "status_code": record["log-status"],
        "class_uid": 4001,
        "category_uid": 4,
        "activity_id": 6 if has_traffic else 0,
        "action": {"ACCEPT": "Allowed", "REJECT": "Denied"}.get(str(record.get("action")), "-"),
    }


def ocsf_sample(draw: Draw, hour: int) -> bytes:
    """10 conversations as events, a scan that was refused, and a window without traffic."""
    records = [record for _ in range(10) for record in aws_conversation(draw, conversation(draw, hour))]
    records += [aws_scan(draw, hour), aws_silence(draw, hour, "NODATA")]
    return text(json.dumps(ocsf_event(record), separators=(",", ":")) for record in records)


def stored_gzip(content: bytes) -> bytes:
    """A gzip file (RFC 1952) that stores its content as it is (RFC 1951, 3.2.4), without a name or a time.

    What a compressor makes of the same content depends on the zlib that Python was built with.
    """
    header = b"\x1f\x8b\x08" + bytes(6) + b"\xff"  # gzip, deflate; no flags, time or level; unknown system
    starts = range(0, len(content), 0xFFFF)  # the largest stored block
    blocks = [content[start : start + 0xFFFF] for start in starts]
    body = b"".join(
        struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks, start=1)
    )
    return header + body + struct.pack("<II", zlib.crc32(content), len(content))


ZEEK_SCHEMA = (
    "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port proto:enum "
    "service:string duration:interval orig_bytes:count resp_bytes:count conn_state:string local_orig:bool "
    "local_resp:bool missed_bytes:count history:string orig_pkts:count orig_ip_bytes:count resp_pkts:count "
    "resp_ip_bytes:count tunnel_parents:set[string]"
)
ZEEK_FIELDS = dict(field.split(":") for field in ZEEK_SCHEMA.split())  # name -> type
ZEEK_SERVICE = {53: "dns", 443: "ssl", 587: "smtp", 8080: "http"}
#: How a conversation went, `conn_state` and `history`: with an answer, and without.
ZEEK_ANSWERED = {"tcp": ("SF", "ShADadFf"), "udp": ("SF", "Dd"), "icmp": ("OTH", "-")}
ZEEK_UNANSWERED = {"tcp": ("S0", "S"), "udp": ("S0", "D"), "icmp": ("OTH", "-")}
ZEEK_ECHO_REQUEST = 8  # Zeek gives ICMP's type and code as the ports
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ZEEK_HEADER = (
    r"#separator \x09",
    "#set_separator\t,",
    "#empty_field\t(empty)",
    "#unset_field\t-",
    "#path\tconn",
    "#open\t2026-11-24-06-00-00",
    "\t".join(["#fields", *ZEEK_FIELDS]),
    "\t".join(["#types", *ZEEK_FIELDS.values()]),
)
ZEEK_TRAILER = "#close\t2026-11-24-12-00-00"


def zeek_seconds(microseconds: int) -> str:
    return f"{microseconds // MICROSECONDS}.{microseconds % MICROSECONDS:06d}"


def zeek_line(draw: Draw, talk: Conversation) -> str:
    """A conversation as Zeek logs it, which gives a lone packet neither a duration nor payload."""
    link = talk.link
    lone = packets(talk.request) + packets(talk.response) == 1 or draw.integer(1, 16) == 1
    state, history = (ZEEK_ANSWERED if talk.response and not lone else ZEEK_UNANSWERED)[link.protocol]
    record = {
        "ts": zeek_seconds(talk.start),
        "uid": "C" + "".join(draw.one_of(BASE62) for _ in range(17)),
        "id.orig_h": talk.client,
        "id.orig_p": ZEEK_ECHO_REQUEST if link.protocol == "icmp" else talk.client_port,
        "id.resp_h": talk.server,
        "id.resp_p": link.port,
        "proto": link.protocol,
        "conn_state": state,
        "local_orig": "F" if link.client == INTERNET else "T",
        "local_resp": "F" if link.server == INTERNET else "T",
        "missed_bytes": 0,
        "history": history,
    }
    if lone:
        payload = 0 if link.protocol == "tcp" else min(talk.request, PAYLOAD_PER_PACKET)  # a SYN has none
        record |= {
            "orig_pkts": 1,
            "orig_ip_bytes": payload + HEADERS_PER_PACKET,
            "resp_pkts": 0,
            "resp_ip_bytes": 0,
        }
    else:
        record |= {
            "service": ZEEK_SERVICE.get(link.port, "-"),
            "duration": zeek_seconds(talk.end - talk.start),
            "orig_bytes": talk.request,
            "resp_bytes": talk.response,
            "orig_pkts": packets(talk.request),
            "orig_ip_bytes": bytes_on_wire(talk.request),
            "resp_pkts": packets(talk.response),
            "resp_ip_bytes": bytes_on_wire(talk.response),
        }
    return "\t".join(str(record.get(field, "-")) for field in ZEEK_FIELDS)


def zeek_sample(draw: Draw) -> bytes:
    """A conn.log of 150 connections, in the order of their ends, for that is when Zeek writes them."""
    talks = [conversation(draw, draw.one_of(WEIGHTED_HOURS)) for _ in range(150)]
    talks.sort(key=lambda talk: talk.end)
    return text([*ZEEK_HEADER, *(zeek_line(draw, talk) for talk in talks), ZEEK_TRAILER])


GCP_PROJECT = "shop-prod"
GCP_VPCS = {VPC_SHOP: "shop", VPC_BACK: "back"}


def gcp_end(side: Literal["src", "dest"], app: str, address: str, vpc_id: str) -> dict[str, object]:
    """What a record knows of one of its ends: nothing but a country, if that is outside."""
    if app == INTERNET:
        return {f"{side}_location": {"continent": "America", "country": "usa"}}
    instance = {
        "project_id": GCP_PROJECT,
        "zone": "us-central1-a",
        "vm_name": f"{app}-{int(ip_address(address)) % 256}",
    }
    return {
        f"{side}_instance": instance | {"managed_instance_group": {"name": app, "zone": "us-central1-a"}},
        f"{side}_vpc": {"project_id": GCP_PROJECT, "vpc_name": GCP_VPCS[vpc_id], "subnetwork_name": app},
    }


def gcp_moment(microseconds: int) -> str:
    moment = datetime.fromtimestamp(microseconds // MICROSECONDS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds % MICROSECONDS:06d}000Z"


def gcp_entries(talk: Conversation) -> Iterator[dict[str, object]]:
    """A conversation as Cloud Logging has it: each direction once for each of its ends that is a VM."""
    link = talk.link
    client, server = (link.client, talk.client, talk.client_port), (link.server, talk.server, link.port)
    for source, target, payload in ((client, server, talk.request), (server, client, talk.response)):
        ports = {} if link.protocol == "icmp" else {"src_port": source[2], "dest_port": target[2]}
        for reporter, here in (("SRC", source), ("DEST", target)):
            if payload and here[0] != INTERNET:
                yield gcp_entry(
                    {
                        "connection": {"src_ip": source[1], "dest_ip": target[1], "protocol": AWS_PROTOCOL[link.protocol]}
                        | ports,
                        "reporter": reporter,
                        "bytes_sent": str(payload),
                        "packets_sent": str(packets(payload)),
                        "start_time": gcp_moment(talk.start),
                        "end_time": gcp_moment(talk.end),
                        **gcp_end("src", source[0], source[1], link.vpc_id),
                        **gcp_end("dest", target[0], target[1], link.vpc_id),
                    },
                    talk.end,
                )


def gcp_dropped(talk: Conversation) -> dict[str, object]:
    """A packet from outside that the firewall drops: its record has no bytes sent."""
    return gcp_entry(
        {
            "connection": {
                "src_ip": talk.client,
                "src_port": talk.client_port,
                "dest_ip": talk.server,
                "dest_port": SCANNED_PORTS[0],
                "protocol": AWS_PROTOCOL["tcp"],
            },
            "reporter": "DEST",
            "disposition": "DROPPED",
            "bytes_dropped": str(HEADERS_PER_PACKET),
            "packets_dropped": "1",
            "start_time": gcp_moment(talk.start),
            "end_time": gcp_moment(talk.start),
            **gcp_end("src", INTERNET, talk.client, talk.link.vpc_id),
            **gcp_end("dest", talk.link.server, talk.server, talk.link.vpc_id),
        },
        talk.end,
    )


def gcp_entry(payload: dict[str, object], written: int) -> dict[str, object]:
    """An entry of the log, with its keys in the order of their names, as Cloud Logging exports it."""
    return {
        "insertId": blake2b(json.dumps(payload).encode(), digest_size=6).hexdigest(),
        "jsonPayload": dict(sorted(payload.items())),
        "logName": f"projects/{GCP_PROJECT}/logs/compute.googleapis.com%2Fvpc_flows",
        "timestamp": gcp_moment(written),
    }


def gcp_sample(draw: Draw, hour: int) -> bytes:
    """A file as Cloud Logging's sink leaves it in a bucket, with the records that end in the hour."""
    entries = [entry for _ in range(20) for entry in gcp_entries(conversation(draw, hour))]
    scanned = [link for link in LINKS if link.client == INTERNET]
    talks = (conversation(draw, hour) for _ in range(60))
    entries += [gcp_dropped(talk) for talk in talks if talk.link in scanned][:3]
    entries.sort(key=lambda entry: str(entry["timestamp"]))
    return text(json.dumps(entry, separators=(",", ":")) for entry in entries)


def gcp_name(hour: int) -> str:
    moment = datetime.fromtimestamp(hour * SECONDS_PER_HOUR, UTC)
    return f"gcp/compute.googleapis.com/vpc_flows/{moment:%Y/%m/%d/%H}0000_{moment:%H}5959_S0.json"


AZURE_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/shop/providers/Microsoft.Network"
AZURE_MAC, AZURE_ADDRESS = "000D3AF87856", "10.20.1.10"  # an instance of web
AZURE_RULES = ("DefaultRule_AllowVnetOutBound", "UserRule_AllowHttpsInBound", "DefaultRule_DenyAllInBound")


def azure_tuple(talk: Conversation, moment: int, state: str, sent: int = 0, received: int = 0) -> str:
    """A state of a flow, with the payload since the last one: version 4 writes zeros where it has no counts."""
    link = talk.link
    ports = (0, 0) if link.protocol == "icmp" else (talk.client_port, link.port)
    counts = [count for payload in (sent, received) for count in (packets(payload), bytes_on_wire(payload))]
    direction = "I" if talk.server == AZURE_ADDRESS else "O"
    ends = (talk.client, talk.server, *ports, AWS_PROTOCOL[link.protocol])
    return ",".join(map(str, (moment // 1_000, *ends, direction, state, "NX", *counts)))


def azure_tuples(talk: Conversation) -> Iterator[tuple[int, str]]:
    """A conversation: when it begins, what it has sent each minute (all but the last as one share), and when it ends."""
    yield talk.start, azure_tuple(talk, talk.start, "B")
    minutes = (talk.end - talk.start) // (60 * MICROSECONDS)
    sent, received = talk.request // (minutes + 1), talk.response // (minutes + 1)
    for minute in range(1, minutes + 1):
        moment = talk.start + minute * 60 * MICROSECONDS
        yield moment, azure_tuple(talk, moment, "C", sent, received)
    yield talk.end, azure_tuple(talk, talk.end, "E", talk.request - minutes * sent, talk.response - minutes * received)


def azure_record(minute: int, tuples: Sequence[tuple[int, str]]) -> dict[str, object]:
    """What an interface has seen in a minute, by the rule that let it through or did not."""
    by_rule: dict[str, list[str]] = {rule: [] for rule in AZURE_RULES}
    for _, text_of_tuple in sorted(tuples):
        direction, state = text_of_tuple.split(",")[6:8]
        by_rule[AZURE_RULES[2] if state == "D" else AZURE_RULES[direction == "I"]].append(text_of_tuple)
    groups = [{"rule": rule, "flowTuples": found} for rule, found in by_rule.items() if found]
    return {
        "time": f"{datetime.fromtimestamp(60 * minute + 59, UTC):%Y-%m-%dT%H:%M:%S}.7570617Z",
        "flowLogVersion": 4,
        "flowLogGUID": "66aa66aa-77bb-88cc-99dd-00ee00ee00ee",
        "macAddress": AZURE_MAC,
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": f"{AZURE_SUBSCRIPTION}/networkWatchers/watcher/flowLogs/shop-flowlog".upper(),
        "targetResourceID": f"{AZURE_SUBSCRIPTION}/virtualNetworks/shop-vnet",
        "operationName": "FlowLogFlowEvent",
        "flowRecords": {"flows": [{"aclID": f"{AZURE_SUBSCRIPTION}/networkSecurityGroups/web-nsg", "flowGroups": groups}]},
    }


def azure_blob(tuples: Iterable[tuple[int, str]]) -> bytes:
    """The blob of an interface's hour. Its last record stands twice, as happens."""
    by_minute: dict[int, list[tuple[int, str]]] = {}
    for moment, text_of_tuple in tuples:
        by_minute.setdefault(moment // (60 * MICROSECONDS), []).append((moment, text_of_tuple))
    records = [azure_record(minute, by_minute[minute]) for minute in sorted(by_minute)]
    return json.dumps({"records": [*records, records[-1]]}, separators=(",", ":")).encode()


def azure_sample(draw: Draw, hour: int) -> bytes:
    """The hour of one interface: its conversations, and connections that the security group denies."""
    talks = (conversation(draw, hour) for _ in range(100))
    tuples = [found for talk in talks if AZURE_ADDRESS in (talk.client, talk.server) for found in azure_tuples(talk)]
    scanned = WEIGHTED_LINKS[0]._replace(port=SCANNED_PORTS[0])
    for _ in range(10):
        scan = replace(conversation(draw, hour), link=scanned, client=draw.one_of(instances(INTERNET, VPC_SHOP)[:6]))
        tuples.append((scan.end, azure_tuple(replace(scan, server=AZURE_ADDRESS), scan.end, "D")))
    return azure_blob(found for found in tuples if found[0] // (SECONDS_PER_HOUR * MICROSECONDS) == hour)


def azure_name(hour: int) -> str:
    moment = datetime.fromtimestamp(hour * SECONDS_PER_HOUR, UTC)
    return f"azure/{moment:y=%Y/m=%m/d=%d/h=%H/m=00}/macAddress={AZURE_MAC}/PT1H.json"


SILK_FIELDS = "sIP dIP sPort dPort pro packets bytes flags sTime duration eTime sensor"
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}


def silk_time(microseconds: int) -> str:
    """SiLK's time: UTC, in milliseconds."""
    seconds, fraction = divmod(microseconds, MICROSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y/%m/%dT%H:%M:%S}.{fraction // 1000:03d}"


def ways(talk: Conversation) -> Iterator[tuple[str, str, int, int, int]]:
    """The directions of a conversation that had packets: sender, receiver, their ports, payload; ICMP has no ports."""
    ports = (0, 0) if talk.link.protocol == "icmp" else (talk.client_port, talk.link.port)
    yield talk.client, talk.server, *ports, talk.request
    if talk.response:
        yield talk.server, talk.client, *ports[::-1], talk.response


def silk_sample(draw: Draw) -> bytes:
    """A listing of rwcut, padded as it is by default: 20 conversations, each direction a record of its own."""
    rows = [SILK_FIELDS.split()]
    for talk in sorted((conversation(draw, draw.one_of(WEIGHTED_HOURS)) for _ in range(20)), key=lambda talk: talk.start):
        times = silk_time(talk.start), f"{(talk.end - talk.start) / MICROSECONDS:.3f}", silk_time(talk.end)
        for source, target, source_port, target_port, payload in ways(talk):
            counts = packets(payload), bytes_on_wire(payload), "FS PA" if talk.link.protocol == "tcp" else ""
            protocol = PROTOCOLS[talk.link.protocol]
            rows.append([*map(str, (source, target, source_port, target_port, protocol, *counts, *times, "edge"))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return text("".join(f"{cell:>{width}}|" for cell, width in zip(row, widths, strict=True)) for row in rows)


def argus_sample(draw: Draw) -> bytes:
    """What `ra -c , -u -s stime dur proto saddr sport dir daddr dport sbytes dbytes` prints of 20 conversations and of an ARP request."""
    talks = sorted((conversation(draw, draw.one_of(WEIGHTED_HOURS)) for _ in range(20)), key=lambda talk: talk.start)
    lines = ["StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,SrcBytes,DstBytes"]
    for talk in talks:
        sender, direction = (
            (talk.client, talk.client_port, talk.server, talk.link.port),
            "  <->" if talk.response else "   ->",
        )
        source, source_port, target, target_port = map(str, sender)
        if talk.link.protocol == "icmp":
            source_port, target_port = "0x0008", ""
        sizes = (payload + packets(payload) * FRAME_HEADERS for payload in (talk.request, talk.response))
        start, duration = zeek_seconds(talk.start), zeek_seconds(talk.end - talk.start)
        cells = start, duration, talk.link.protocol, source, source_port, direction, target, target_port, *sizes
        lines.append(",".join(map(str, cells)))
    first = talks[0]
    lines.append(f"{zeek_seconds(talks[-1].start)},0.000000,arp,{first.client},,  who,{first.server},,42,0")
    return text(lines)


def pmacct_sample(draw: Draw) -> bytes:
    """Flows of 20 conversations as pmacct's print plugin writes them (`timestamps_since_epoch`), each direction on its own."""
    talks = sorted((conversation(draw, draw.one_of(WEIGHTED_HOURS)) for _ in range(20)), key=lambda talk: talk.start)
    return text(
        json.dumps(
            {
                "ip_src": source,
                "ip_dst": target,
                "port_src": source_port,
                "port_dst": target_port,
                "ip_proto": talk.link.protocol,
                "timestamp_start": zeek_seconds(talk.start),
                "timestamp_end": zeek_seconds(talk.end),
                "packets": packets(payload),
                "bytes": bytes_on_wire(payload),
            }
        )
        for talk in talks
        for source, target, source_port, target_port, payload in ways(talk)
    )


def eve_time(microseconds: int) -> str:
    """Suricata's time: local, with an offset without a colon."""
    seconds, fraction = divmod(microseconds, MICROSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}+0000"


def eve_event(talk: Conversation, flow_id: int, event_type: str, **details: object) -> dict[str, object]:
    """What all events of a flow have, but for the time at which they were written."""
    ports = {} if talk.link.protocol == "icmp" else {"src_port": talk.client_port, "dest_port": talk.link.port}
    return {
        "flow_id": flow_id,
        "in_iface": "ens5",
        "event_type": event_type,
        "src_ip": talk.client,
        "dest_ip": talk.server,
        **ports,
        "proto": talk.link.protocol.upper(),
        **details,
    }


def eve_events(draw: Draw, talk: Conversation) -> Iterator[tuple[int, dict[str, object]]]:
    """The events of a conversation, each with when it is written: its flow once that has timed out, and the same as netflow; of
    some an alert before that, with the bytes of its first packet.
    """
    flow_id = draw.integer(1 << 50, (1 << 51) - 1)
    written = talk.end + 60 * MICROSECONDS
    start, end = eve_time(talk.start), eve_time(talk.end)
    sizes = {"toserver": talk.request, "toclient": talk.response}
    counts = {f"pkts_{to}": packets(size) for to, size in sizes.items()}
    counts |= {f"bytes_{to}": size + packets(size) * FRAME_HEADERS for to, size in sizes.items()}
    if draw.integer(1, 8) == 1:
        partial_flow = {"pkts_toserver": 1, "pkts_toclient": 0, "bytes_toserver": FRAME_HEADERS, "bytes_toclient": 0}
        alert = {"action": "allowed", "signature_id": 2_100_498, "signature": "a rule of the shop's own", "severity": 3}
        yield talk.start, eve_event(talk, flow_id, "alert", alert=alert, flow=partial_flow | {"start": start})
    yield written, eve_event(talk, flow_id, "flow", flow=counts | {"start": start, "end": end, "reason": "timeout"})
    netflow = {"pkts": counts["pkts_toserver"], "bytes": counts["bytes_toserver"], "start": start, "end": end}
    yield written, eve_event(talk, flow_id, "netflow", netflow=netflow)


def eve_sample(draw: Draw) -> bytes:
    """An eve.json of 30 conversations, in the order in which its events are written, the last line of which is cut off."""
    talks = [conversation(draw, draw.one_of(WEIGHTED_HOURS)) for _ in range(30)]
    events = sorted((event for talk in talks for event in eve_events(draw, talk)), key=lambda event: event[0])
    lines = [json.dumps({"timestamp": eve_time(written)} | event, separators=(",", ":")) for written, event in events]
    return text([*lines, lines[0][:150]])


NETOBSERV_SAMPLING = 50  # the agent's default
INGRESS, EGRESS = 0, 1


def netobserv_end(side: Literal["Src", "Dst"], address: str, app: str) -> dict[str, str]:
    """What a record says of one end: an owner in the cluster, but of what is outside."""
    owner = (
        {} if app == INTERNET else {f"{side}K8S_Namespace": "shop", f"{side}K8S_OwnerName": app, f"{side}K8S_Type": "Pod"}
    )
    return {f"{side}Addr": address, **owner}


def netobserv_records(talk: Conversation) -> Iterator[dict[str, object]]:
    """The records of a conversation: one of each direction and of each node that reports it, which are those in the cluster."""
    link = talk.link
    client, server = (talk.client, link.client, talk.client_port), (talk.server, link.server, link.port)
    for source, target, payload in ((client, server, talk.request), (server, client, talk.response)):
        sampled = payload // NETOBSERV_SAMPLING
        for direction, app in ((EGRESS, source[1]), (INGRESS, target[1])):
            if app != INTERNET and sampled:
                yield {
                    "Bytes": bytes_on_wire(sampled),
                    **netobserv_end("Dst", *target[:2]),
                    "DstPort": target[2],
                    "FlowDirection": direction,
                    "Packets": packets(sampled),
                    "Proto": PROTOCOLS[link.protocol],
                    "Sampling": NETOBSERV_SAMPLING,
                    **netobserv_end("Src", *source[:2]),
                    "SrcPort": source[2],
                    "TimeFlowEndMs": talk.end // 1_000,
                    "TimeFlowStartMs": talk.start // 1_000,
                    "_RecordType": "flowLog",
                }


def netobserv_sample(draw: Draw) -> bytes:
    """The flow logs of 20 conversations, in the order of their ends, and a heartbeat, which repeats bytes of its connection."""
    talks = [conversation(draw, draw.one_of(WEIGHTED_HOURS)) for _ in range(20)]
    records = [record for talk in sorted(talks, key=lambda talk: talk.end) for record in netobserv_records(talk)]
    return text(
        json.dumps(record, separators=(",", ":")) for record in [*records, records[-1] | {"_RecordType": "heartbeat"}]
    )


GOFLOW2_RATE = 8  # one packet in so many is looked at


def nfdump_line(number: int, talk: Conversation) -> str:
    """A conversation as `nfdump -B -o ndjson` prints it, in UTC."""
    times = [
        datetime.fromtimestamp(time // 1000 / 1000, UTC).isoformat("T", "milliseconds")[:23]
        for time in (talk.start, talk.end)
    ]
    family = "src6_addr", "dst6_addr"
    if ":" not in talk.client:
        family = "src4_addr", "dst4_addr"
    record: dict[str, str | int] = {
        "cnt": number,
        "type": "FLOW",
        "export_sysid": 1,
        "first": times[0],
        "last": times[1],
        "in_packets": packets(talk.request),
        "in_bytes": bytes_on_wire(talk.request),
        "out_packets": packets(talk.response),
        "out_bytes": bytes_on_wire(talk.response),
        "proto": PROTOCOLS[talk.link.protocol],
    }
    if talk.link.protocol != "icmp":
        record |= {"src_port": talk.client_port, "dst_port": talk.link.port}
    return json.dumps(record | {family[0]: talk.client, family[1]: talk.server, "sampled": 0}, separators=(",", ":"))


def nfdump_sample(draw: Draw) -> bytes:
    """80 flows of both directions, in the order of their starts."""
    talks = sorted((conversation(draw, draw.one_of(WEIGHTED_HOURS)) for _ in range(80)), key=lambda talk: talk.start)
    return text(nfdump_line(number, talk) for number, talk in enumerate(talks, 1))


def goflow2_lines(talk: Conversation) -> Iterator[str]:
    """A conversation as goflow2 writes it: a record for each direction, of the packets that the router looked at."""
    ends, ports = (talk.client, talk.server), (talk.client_port, talk.link.port)
    for payload, turn in ((talk.request, 1), (talk.response, -1)):
        seen = packets(payload) // GOFLOW2_RATE
        if seen:
            src, dst = ends[::turn]
            record: dict[str, str | int] = {
                "type": "IPFIX",
                "time_received_ns": talk.end * 1000,
                "sampling_rate": GOFLOW2_RATE,
                "sampler_address": "192.0.2.1",
                "time_flow_start_ns": talk.start * 1000,
                "time_flow_end_ns": talk.end * 1000,
                "bytes": bytes_on_wire(payload) // packets(payload) * seen,
                "packets": seen,
                "src_addr": src,
                "dst_addr": dst,
                "etype": "IPv6" if ":" in src else "IPv4",
                "proto": talk.link.protocol.upper(),
            }
            if talk.link.protocol != "icmp":
                record |= dict(zip(("src_port", "dst_port"), ports[::turn], strict=True))
            yield json.dumps(record, separators=(",", ":"))


def goflow2_sample(draw: Draw) -> bytes:
    """What a router reports of 80 conversations, in the order in which the reports come in; small ones are not sampled."""
    talks = sorted((conversation(draw, draw.one_of(WEIGHTED_HOURS)) for _ in range(80)), key=lambda talk: talk.end)
    return text(line for talk in talks for line in goflow2_lines(talk))


def sample_files(seed: int) -> dict[str, bytes]:
    """The sample: the content of each file, by its path from the folder of raw files."""
    makers: dict[str, Callable[[Draw], bytes]] = {
        "flows-2026-11-24.csv": csv_sample,
        "flows-2026-11-24.jsonl": jsonl_sample,
        **{aws_name(hour): partial(aws_sample, hour=hour) for hour in (FIRST_HOUR + 3, FIRST_HOUR + 4)},
        tgw_name(FIRST_HOUR + 3): partial(tgw_sample, hour=FIRST_HOUR + 3),
        "ocsf/vpc-flow-2026-11-24T10.json": partial(ocsf_sample, hour=FIRST_HOUR + 4),
        "zeek/conn.log": zeek_sample,
        gcp_name(FIRST_HOUR + 2): partial(gcp_sample, hour=FIRST_HOUR + 2),
        azure_name(FIRST_HOUR + 1): partial(azure_sample, hour=FIRST_HOUR + 1),
        "silk/rwcut.txt": silk_sample,
        "argus/ra.csv": argus_sample,
        "pmacct/flows.json": pmacct_sample,
        "suricata/eve.json": eve_sample,
        "netobserv/flows.json": netobserv_sample,
        "nfdump/flows.ndjson": nfdump_sample,
        "goflow2/flows.json": goflow2_sample,
        # Beside that folder and not in it, because whatever is in it gets read as raw files.
        "../apps.csv": lambda _: text(map(",".join, [Network._fields, *APPS])),
    }
    return {path: make(Draw(seed, path)) for path, make in makers.items()}


# --- The command --------------------------------------------------------------------------------------------


def sample(
    out: Annotated[Path, typer.Option(help="Folder of raw files; apps.csv goes beside it.")] = Path("data/raw"),
    seed: Annotated[int, typer.Option(help="Another seed gives another sample.")] = 7,
) -> None:
    """Write the sample that a first `flowlog ingest` reads.

    Example: python data/generate.py
    """
    for name, content in sample_files(seed).items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    typer.run(sample)
