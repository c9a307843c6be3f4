"""A small world whose traffic is known before any log is written, and the logs that it would leave.

Apps in the subnets of two VPCs, pods behind the interface of their node, a NAT gateway, a transit gateway with an interface in
each VPC, and the internet. Each packet passes some interfaces; each of these logs all that passes it, in records of windows of
its own, so that the windows cut a flow differently at each interface. The truth is the sum of the packets.
"""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

FIRST_HOUR, HOURS = 498_752, 3
#: Packets come in so many first seconds of an hour, so that no window of ten minutes has packets of two hours.
BUSY_SECONDS = 2700
LOGGED = "10.1.0.0/16,10.2.0.0/16"


@dataclass(frozen=True)
class Interface:
    """A network interface.

    Attributes:
        id: Its name.
        vpc: The VPC that it is in.
        address: Its own address.
        window: How long a record of its is, in seconds; offset: when its windows start.
    """

    id: str
    vpc: str
    address: str
    window: int
    offset: int


@dataclass(frozen=True)
class Host:
    """What has an address: an instance, a pod, or a machine somewhere in the internet, which has no interface here."""

    app: str
    address: str
    interface: Interface | None = None


NAT = Interface("eni-nat", "vpc-a", "10.1.0.220", 60, 13)
GATEWAYS = {
    "vpc-a": Interface("eni-tgw-a", "vpc-a", "10.1.0.10", 60, 37),
    "vpc-b": Interface("eni-tgw-b", "vpc-b", "10.2.0.10", 600, 5),
}
HOPS = {interface.id for interface in (NAT, *GATEWAYS.values())}
NODE = Interface("eni-node", "vpc-a", "10.1.3.5", 60, 51)
HOSTS = [
    *(Host("web", f"10.1.1.{n}", Interface(f"eni-web-{n}", "vpc-a", f"10.1.1.{n}", 600, 41 * n)) for n in (4, 5)),
    *(Host("api", f"10.1.2.{n}", Interface(f"eni-api-{n}", "vpc-a", f"10.1.2.{n}", 60, 7 * n)) for n in (6, 7)),
    *(Host("cart", f"10.1.3.{n}", NODE) for n in (21, 22)),
    *(Host("db", f"10.2.1.{n}", Interface(f"eni-db-{n}", "vpc-b", f"10.2.1.{n}", 60, 11 * n)) for n in (8, 9)),
]
OUTSIDE = [Host("internet", f"203.0.113.{n}") for n in (9, 10)]
APPS = "cidr,app\n203.0.113.0/24,internet\n10.1.1.0/24,web\n10.1.2.0/24,api\n10.1.3.0/24,cart\n10.2.1.0/24,db\n"


@dataclass(frozen=True)
class Packets:
    """Some bytes that go from one host to another at one moment."""

    at: int
    client: Host
    server: Host
    port: int
    is_answer: bool
    size: int

    @property
    def ends(self) -> tuple[Host, Host]:
        """Who sends, and who receives."""
        return (self.server, self.client) if self.is_answer else (self.client, self.server)


@dataclass(frozen=True)
class Passing:
    """Packets as they pass an interface: what the interface's record of them says."""

    interface: Interface
    direction: str
    src: str
    dst: str
    packet_src: str
    packet_dst: str
    packets: Packets

    @property
    def ports(self) -> tuple[int, int]:
        return (443, self.packets.port) if self.packets.is_answer else (self.packets.port, 443)


def passings(packets: Packets) -> list[Passing]:
    """All interfaces that some packets pass, in order.

    AWS, "Flow log records": srcaddr of what leaves an interface, and dstaddr of what comes, are the interface's own; the packet's
    are pkt-srcaddr and pkt-dstaddr.
    """
    sender, receiver = packets.ends
    found = []

    def leave(interface: Interface, packet_src: str, packet_dst: str) -> None:
        found.append(Passing(interface, "egress", interface.address, packet_dst, packet_src, packet_dst, packets))

    def reach(interface: Interface, packet_src: str, packet_dst: str) -> None:
        found.append(Passing(interface, "ingress", packet_src, interface.address, packet_src, packet_dst, packets))

    if sender.interface:
        leave(sender.interface, sender.address, receiver.address)
    if receiver.interface is None:  # out through the NAT gateway, which puts its own address for the sender's
        reach(NAT, sender.address, receiver.address)
        leave(NAT, NAT.address, receiver.address)
    elif sender.interface is None:
        reach(NAT, sender.address, NAT.address)
        leave(NAT, sender.address, receiver.address)
    elif sender.interface.vpc != receiver.interface.vpc:
        reach(GATEWAYS[sender.interface.vpc], sender.address, receiver.address)
        leave(GATEWAYS[receiver.interface.vpc], sender.address, receiver.address)
    if receiver.interface:
        reach(receiver.interface, sender.address, receiver.address)
    return found


Truth = dict[tuple[int, str, str, str], tuple[int, int]]
#: Whose record of some packets counts: the name of an interface, and the VPC that the record counts in; None if no log has one.
Teller = Callable[[Packets], tuple[str, str] | None]


def by_sender(packets: Packets) -> tuple[str, str] | None:
    """What a host here sends, its own interface tells; what comes from outside, the receiver's."""
    return _first_here(*packets.ends)


def by_receiver(packets: Packets) -> tuple[str, str] | None:
    """What a host here receives, its own interface tells; what goes outside, the sender's."""
    return _first_here(*reversed(packets.ends))


def _first_here(*hosts: Host) -> tuple[str, str] | None:
    return next(((host.interface.id, host.interface.vpc) for host in hosts if host.interface), None)


def by_client(packets: Packets) -> tuple[str, str] | None:
    """A record of both directions, that of the client's interface."""
    return _first_here(packets.client)


def by_first_attachment(packets: Packets) -> tuple[str, str] | None:
    """What crosses the transit gateway, the attachment at which it comes in; it counts in the VPC of the client."""
    (sender, receiver), client = packets.ends, packets.client
    if sender.interface and receiver.interface and client.interface and sender.interface.vpc != receiver.interface.vpc:
        return GATEWAYS[sender.interface.vpc].id, client.interface.vpc
    return None


@dataclass
class World:
    """Traffic, by a seed.

    Attributes:
        packets: All of it.
    """

    seed: int
    packets: list[Packets] = field(default_factory=list)

    def __post_init__(self) -> None:
        random = Random(self.seed)
        for _ in range(40):
            client = random.choice(HOSTS)
            server = random.choice([host for host in [*HOSTS, *OUTSIDE, *OUTSIDE] if host.interface != client.interface])
            port, start = random.randrange(32768, 61000), FIRST_HOUR * 3600 + random.randrange(HOURS) * 3600
            for _ in range(random.randrange(1, 30)):
                at, is_answer = start + random.randrange(BUSY_SECONDS), random.random() < 0.5
                self.packets.append(
                    Packets(at, client, server, port, is_answer, random.randrange(40, 2 ** random.randrange(7, 33)))
                )

    def truth(self, teller: Teller = by_sender, interfaces: set[str] | None = None) -> Truth:
        """The bytes sent and received by hour, client, server and VPC, each packet once.

        Args:
            teller: Whose record of a packet counts.
            interfaces: Only what these tell.
        """
        sums: dict[tuple[int, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        for packets in self.packets:
            told = teller(packets)
            if told and (interfaces is None or told[0] in interfaces):
                key = packets.at // 3600, packets.client.app, packets.server.app, told[1]
                sums[key][packets.is_answer] += packets.size
        return {key: (sent, received) for key, (sent, received) in sums.items()}

    def by_interface(self) -> dict[str, list[Passing]]:
        """What each interface sees."""
        found: dict[str, list[Passing]] = defaultdict(list)
        for packets in self.packets:
            for passing in passings(packets):
                found[passing.interface.id].append(passing)
        return found


def aws_records(seen: list[Passing]) -> list[dict[str, str | int]]:
    """The records of one interface, by its windows, in the order of their ends."""
    sizes: Counter[tuple[int, Passing]] = Counter()
    times: dict[tuple[int, Passing], list[int]] = defaultdict(list)
    for passing in seen:
        interface, at = passing.interface, passing.packets.at
        like = Passing(*(getattr(passing, name) for name in ("interface", "direction", "src", "dst", "packet_src", "packet_dst")),
                       _flow_of(passing.packets))  # fmt: skip
        key = (at - interface.offset) // interface.window, like
        sizes[key] += passing.packets.size
        times[key].append(at)
    return [
        {
            "version": 5,
            "account-id": "111122223333",
            "interface-id": like.interface.id,
            "srcaddr": like.src,
            "dstaddr": like.dst,
            "srcport": like.ports[0],
            "dstport": like.ports[1],
            "protocol": 6,
            "packets": len(times[key]),
            "bytes": size,
            "start": min(times[key]),
            "end": max(times[key]),
            "action": "ACCEPT",
            "log-status": "OK",
            "vpc-id": like.interface.vpc,
            "flow-direction": like.direction,
            "pkt-srcaddr": like.packet_src,
            "pkt-dstaddr": like.packet_dst,
        }
        for key, size in sorted(sizes.items(), key=lambda found: (found[0][0], found[1]))
        for _, like in [key]
    ]


def _flow_of(packets: Packets) -> Packets:
    """What tells the flow of some packets from others."""
    return Packets(0, packets.client, packets.server, packets.port, packets.is_answer, 0)


def aws_text(records: list[dict[str, str | int]]) -> bytes:
    """A file as AWS delivers to S3, packed."""
    lines = [" ".join(records[0]), *(" ".join(map(str, record.values())) for record in records)]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)


def aws_parquet(records: list[dict[str, str | int]]) -> bytes:
    """The same in Parquet."""
    target = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([{name.replace("-", "_"): cell for name, cell in one.items()} for one in records]), target
    )
    return target.getvalue()


def aws_files(world: World, write=aws_text) -> dict[str, list[bytes]]:
    """The files of each interface: one for each hour in which its records end."""
    files = {}
    for interface, seen in world.by_interface().items():
        by_hour: dict[int, list[dict[str, str | int]]] = defaultdict(list)
        for record in aws_records(seen):
            by_hour[int(record["end"]) // 3600].append(record)
        files[interface] = [write(records) for records in by_hour.values()]
    return files


def azure_files(world: World) -> dict[str, list[bytes]]:
    """The VNet flow log of each network interface, which has the client first and both directions: `O` at the client's interface, `I`
    at the server's. Azure's gateways write none.
    """
    sums: dict[tuple[Interface, str, int, Packets], list[int]] = defaultdict(lambda: [0, 0, 0])
    for packets in world.packets:
        for host, mark in ((packets.client, "O"), (packets.server, "I")):
            if interface := host.interface:
                flow = Packets(0, packets.client, packets.server, packets.port, is_answer=False, size=0)
                found = sums[interface, mark, (packets.at - interface.offset) // interface.window, flow]
                found[packets.is_answer] += packets.size
                found[2] = max(found[2], packets.at)
    tuples: dict[Interface, list[str]] = defaultdict(list)
    for (interface, mark, _, flow), (sent, received, at) in sums.items():
        ends = f"{flow.client.address},{flow.server.address},{flow.port},443,6"
        tuples[interface].append(f"{at}000,{ends},{mark},C,NX,1,{sent},1,{received}")
    return {interface.id: [_azure_document(interface, found)] for interface, found in tuples.items()}


def _azure_document(interface: Interface, tuples: list[str]) -> bytes:
    target = f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/{interface.vpc}"
    record = {
        "time": "2026-11-24T08:00:00Z",
        "flowLogGUID": "g",
        "macAddress": interface.id,
        "category": "FlowLogFlowEvent",
        "targetResourceID": target,
        "flowLogVersion": 4,
        "flowRecords": {"flows": [{"aclID": "a", "flowGroups": [{"rule": "r", "flowTuples": tuples}]}]},
    }
    return json.dumps({"records": [record]}).encode()


@dataclass(frozen=True)
class Window:
    """One direction of a flow in a window of an interface, as the interface of one of its ends sees it.

    Attributes:
        is_sent: Whether that is the sender's end.
        size: The bytes.
        start: The time of its first packet in the window; end: that of its last.
    """

    sender: Host
    receiver: Host
    ports: tuple[int, int]
    is_sent: bool
    size: int
    start: int
    end: int


def windows(world: World, outside: Interface | None = None) -> dict[Interface, list[Window]]:
    """What the interface of each end reports.

    Args:
        world: Whose packets they are.
        outside: What reports at the ends that have no interface; None where nothing does.
    """
    sums: dict[tuple[Interface, bool, int, Packets], list[Packets]] = defaultdict(list)
    for packets in world.packets:
        for host, is_sent in zip(packets.ends, (True, False), strict=True):
            if interface := host.interface or outside:
                key = interface, is_sent, (packets.at - interface.offset) // interface.window, _flow_of(packets)
                sums[key].append(packets)
    found = defaultdict(list)
    for (interface, is_sent, _, flow), seen in sums.items():
        ports = (443, flow.port) if flow.is_answer else (flow.port, 443)
        times = [packets.at for packets in seen]
        size = sum(packets.size for packets in seen)
        found[interface].append(Window(*flow.ends, ports, is_sent, size, min(times), max(times)))
    return found


#: At which end a record of Google's was made: at the source's where the reporter sees what is sent.
_GOOGLE_REPORTERS = {False: {True: "SRC", False: "DEST"}, True: {True: "SRC_GATEWAY", False: "DEST_GATEWAY"}}


def google_files(world: World) -> dict[str, list[bytes]]:
    """The entries of each VM, of what the VM sends and of what it receives, with what is known of both ends. What is outside is
    behind a VPN tunnel (`NAT`), which reports, too. Between two VMs there are so four records of a conversation.
    """
    files = {}
    for interface, seen in windows(world, outside=NAT).items():
        lines = []
        for window in seen:
            payload: dict[str, object] = {
                "reporter": _GOOGLE_REPORTERS[interface == NAT][window.is_sent],
                "connection": {
                    "src_ip": window.sender.address,
                    "src_port": window.ports[0],
                    "dest_ip": window.receiver.address,
                    "dest_port": window.ports[1],
                    "protocol": 6,
                },
                "bytes_sent": str(window.size),
                "start_time": _google_time(window.start),
                "end_time": _google_time(window.end),
            }
            for side, host in (("src", window.sender), ("dest", window.receiver)):
                if host.interface:
                    payload[f"{side}_instance"] = {"vm_name": f"{host.app}-vm"}
                    payload[f"{side}_vpc"] = {"vpc_name": host.interface.vpc}
                else:
                    payload[f"{side}_gateway"] = {"type": "VPN_TUNNEL", "name": NAT.id, "vpc": {"vpc_name": NAT.vpc}}
            lines.append({"jsonPayload": payload, "logName": "projects/p/logs/compute.googleapis.com%2Fvpc_flows"})
        files[interface.id] = [_json_lines(lines)]
    return files


def _google_time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000000000Z"


def netobserv_files(world: World) -> dict[str, list[bytes]]:
    """The flow logs of each node's agent, which sees what comes in (0) and goes out (1), in a cluster for each VPC."""
    files = {}
    for interface, seen in windows(world).items():
        lines = []
        for window in seen:
            record: dict[str, object] = {
                "SrcAddr": window.sender.address,
                "DstAddr": window.receiver.address,
                "SrcPort": window.ports[0],
                "DstPort": window.ports[1],
                "Bytes": window.size,
                "Sampling": 1,
                "FlowDirection": int(window.is_sent),
                "TimeFlowStartMs": window.start * 1000,
                "TimeFlowEndMs": window.end * 1000,
                "K8S_ClusterName": interface.vpc,
            }
            for side, host in (("Src", window.sender), ("Dst", window.receiver)):
                if host.interface:
                    record |= {f"{side}K8S_OwnerName": host.app, f"{side}K8S_Namespace": "n"}
            lines.append(record)
        files[interface.id] = [_json_lines(lines)]
    return files


def _json_lines(records: list[dict[str, object]]) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def gateway_files(world: World) -> dict[str, list[bytes]]:
    """The transit gateway's log of each of its attachments: what comes in from one VPC, what goes out to the other."""
    names = "version resource-type tgw-attachment-id tgw-src-vpc-id tgw-dst-vpc-id srcaddr dstaddr srcport dstport bytes start end"
    names += " log-status flow-direction"
    sums: dict[tuple[Interface, str, int, Packets], list[int]] = defaultdict(list)
    for packets in world.packets:
        sender, receiver = packets.ends
        if sender.interface and receiver.interface and sender.interface.vpc != receiver.interface.vpc:
            for host, direction in ((sender, "ingress"), (receiver, "egress")):
                attachment = GATEWAYS[host.interface.vpc]
                key = attachment, direction, (packets.at - attachment.offset) // attachment.window, _flow_of(packets)
                sums[key] += [packets.size, packets.at]
    lines: dict[Interface, list[str]] = defaultdict(lambda: [names])
    for (attachment, direction, _, flow), values in sums.items():
        (sender, receiver), times = flow.ends, values[1::2]
        ports = (443, flow.port) if flow.is_answer else (flow.port, 443)
        vpcs = sender.interface.vpc, receiver.interface.vpc
        cells = ("6 TransitGateway", attachment.id, *vpcs, sender.address, receiver.address, *ports, sum(values[::2]))
        lines[attachment].append(" ".join(map(str, (*cells, min(times), max(times), "OK", direction))))
    return {attachment.id: ["\n".join(found).encode() + b"\n"] for attachment, found in lines.items()}
