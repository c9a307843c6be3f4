"""What clouds and Kubernetes list of their networks: whose each address is, for the mapping file.

The lists are read as these commands print them:

    aws ec2 describe-network-interfaces             gcloud compute instances list --format=json
    aws ec2 describe-subnets                        gcloud compute networks subnets list --format=json
    https://ip-ranges.amazonaws.com/ip-ranges.json  az network nic list
    kubectl get pods,services -A -o json            az network vnet list

Facts from the references of these commands. A name is that which people gave: the tag `Name` of AWS, the managed instance group or
the instance of Google, the virtual machine of Azure, namespace and workload of Kubernetes.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import UsageError
from pipeline.scalars import is_utf8

_KNOWN = (
    "describe-network-interfaces, describe-subnets and ip-ranges.json of AWS, gcloud's instances and subnets, az's nic and vnet,"
    " kubectl's pods and services"
)
_GROUP = re.compile(r"/instanceGroupManagers/([^/]+)$")
_VNET = re.compile(r"/virtualNetworks/([^/]+)(?:/|$)", re.IGNORECASE)

Item = dict[str, Any]


class Named(NamedTuple):
    """A row of the mapping file."""

    cidr: str
    app: str
    vpc_id: str = ""


def read_inventory(path: Path) -> list[Named]:
    """What a list says.

    Raises:
        UsageError: The file cannot be read, or is not a list of a known kind; the message names the kinds.
    """
    try:
        listed = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read as JSON: it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as JSON: {error}") from None
    try:
        found = [_checked(row) for rows in _rows_of(listed) for row in rows]
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # ValueError: what should be an address is none
        raise UsageError(f"{path} is not whole, or not as its command prints it: {error!r}") from None
    if not found and listed and not _is_known(listed):
        raise UsageError(f"{path} is no list that flowlog knows; it knows {_KNOWN}")
    return found


def _checked(row: Named) -> Named:
    """The row, with its network as the mapping file has it."""
    if not isinstance(row.cidr, str):  # a number would be taken for an address
        raise TypeError(f"{row.cidr!r} is no address")
    network = ipaddress.ip_network(row.cidr, strict=False)
    if not isinstance(row.app, str) or not row.app.strip():
        raise ValueError(f"{network} has no name")
    vpc_id = row.vpc_id or ""
    if not isinstance(vpc_id, str) or not is_utf8(row.app + vpc_id):
        raise ValueError(f"{network} is {row.app!r} in {vpc_id!r}, which is no text")
    return row._replace(cidr=str(network), vpc_id=vpc_id)


def merged(rows: Iterable[Named]) -> tuple[list[Named], int]:
    """The rows by their networks, each network once a VPC, under the name that came first.

    Returns:
        The rows; and how many were left out as their network had another name before.
    """
    kept: dict[tuple[str, str], Named] = {}
    others = 0
    for row in rows:
        first = kept.setdefault((row.cidr, row.vpc_id), row)
        others += first.app != row.app
    return sorted(
        kept.values(), key=lambda row: (ipaddress.get_mixed_type_key(ipaddress.ip_network(row.cidr)), row.vpc_id)
    ), others


def _rows_of(listed: Any) -> Iterator[Iterable[Named]]:
    """The rows of each item of a list."""
    for item in _items_of(listed):
        if read := _reader_of(item):
            yield read(item)
    if isinstance(listed, dict) and "prefixes" in listed:
        yield _aws_ranges(listed)


def _items_of(listed: Any) -> list[Item]:
    if isinstance(listed, list):
        return listed
    keys = ("NetworkInterfaces", "Subnets", "items")
    return list(chain.from_iterable(listed[key] for key in keys if key in listed)) if isinstance(listed, dict) else []


def _is_known(listed: Any) -> bool:
    if isinstance(listed, dict) and (
        listed.keys() & {"NetworkInterfaces", "Subnets", "prefixes"} or listed.get("items") == []
    ):
        return True
    return any(isinstance(item, dict) and _reader_of(item) for item in _items_of(listed))


def _reader_of(item: Item) -> Callable[[Item], Iterable[Named]] | None:
    by_key = next((reader for key, reader in _READERS.items() if key in item), None)
    return by_key or {"Pod": _pod, "Service": _service}.get(str(item.get("kind")))


def _name_among(tags: Iterable[Item] | None) -> str:
    return next((str(tag["Value"]) for tag in tags or () if tag["Key"] == "Name"), "")


def _aws_interface(item: Item) -> Iterator[Named]:
    attached = item.get("Attachment") or {}
    app = (
        _name_among(item.get("TagSet"))
        or item.get("Description")
        or attached.get("InstanceId")
        or item["NetworkInterfaceId"]
    )
    vpc_id = item.get("VpcId", "")
    for address in item.get("PrivateIpAddresses") or [item]:
        if "PrivateIpAddress" in address:
            yield Named(address["PrivateIpAddress"], app, vpc_id)
        if public := (address.get("Association") or {}).get("PublicIp"):
            yield Named(public, app)  # which is one wherever it is met
    for address in item.get("Ipv6Addresses") or ():
        yield Named(address["Ipv6Address"], app, vpc_id)


def _aws_subnet(item: Item) -> Iterator[Named]:
    app, vpc_id = _name_among(item.get("Tags")) or item["SubnetId"], item.get("VpcId", "")
    yield Named(item["CidrBlock"], app, vpc_id)
    for block in item.get("Ipv6CidrBlockAssociationSet") or ():
        yield Named(block["Ipv6CidrBlock"], app, vpc_id)


def _aws_ranges(listed: Item) -> Iterator[Named]:
    """AWS's own addresses. AMAZON holds those of all services, and EC2 those of whoever rents: a service's own name goes first."""
    vague = ("EC2", "AMAZON")
    prefixes = [(prefix["ip_prefix"], prefix["service"]) for prefix in listed["prefixes"]]
    prefixes += [(prefix["ipv6_prefix"], prefix["service"]) for prefix in listed.get("ipv6_prefixes", ())]
    best: dict[str, str] = {}
    for cidr, service in sorted(prefixes, key=lambda found: (found[1] in vague, found[1] == "AMAZON", found[1])):
        best.setdefault(cidr, service)
    for cidr, service in best.items():
        yield Named(cidr, "aws" if service == "AMAZON" else f"aws-{service.lower().replace('_', '-')}")


def _last(url: str | None) -> str:
    return (url or "").rpartition("/")[2]


def _google_instance(item: Item) -> Iterator[Named]:
    settings = (item.get("metadata") or {}).get("items") or ()
    created_by = next((found.get("value", "") for found in settings if found.get("key") == "created-by"), "")
    group = _GROUP.search(created_by)
    app = group[1] if group else item["name"]
    for interface in item["networkInterfaces"]:
        vpc_id = _last(interface.get("network"))
        for address in (interface.get("networkIP"), interface.get("ipv6Address")):
            if address:
                yield Named(address, app, vpc_id)
        for alias in interface.get("aliasIpRanges") or ():
            yield Named(alias["ipCidrRange"], app, vpc_id)
        for access in interface.get("accessConfigs") or ():
            if access.get("natIP"):
                yield Named(access["natIP"], app)


def _google_subnet(item: Item) -> Iterator[Named]:
    vpc_id = _last(item.get("network"))
    yield Named(item["ipCidrRange"], item["name"], vpc_id)
    for second in item.get("secondaryIpRanges") or ():
        yield Named(second["ipCidrRange"], f"{item['name']}-{second['rangeName']}", vpc_id)


def _azure_nic(item: Item) -> Iterator[Named]:
    app = _last((item.get("virtualMachine") or {}).get("id")) or item["name"]
    for configuration in item["ipConfigurations"]:
        vnet = _VNET.search((configuration.get("subnet") or {}).get("id", ""))
        address = configuration.get("privateIPAddress") or configuration.get("privateIpAddress")
        if address:
            yield Named(address, app, vnet[1] if vnet else "")
        public = configuration.get("publicIPAddress") or configuration.get("publicIpAddress") or {}
        if public.get("ipAddress"):
            yield Named(public["ipAddress"], app)


def _azure_vnet(item: Item) -> Iterator[Named]:
    for subnet in item.get("subnets") or ():
        for prefix in subnet.get("addressPrefixes") or [subnet["addressPrefix"]]:
            yield Named(prefix, subnet["name"], item["name"])
    for prefix in item["addressSpace"]["addressPrefixes"]:
        yield Named(prefix, item["name"], item["name"])


def _pod(item: Item) -> Iterator[Named]:
    """A pod, as its workload. A pod of the node's network has the node's address, and one that has ended none of its own any more."""
    status, metadata = item.get("status") or {}, item["metadata"]
    if item.get("spec", {}).get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
        return
    owner = next(iter(metadata.get("ownerReferences") or ()), {"kind": "Pod", "name": metadata["name"]})
    template = (metadata.get("labels") or {}).get("pod-template-hash", "")
    workload = owner["name"].removesuffix(f"-{template}") if owner["kind"] == "ReplicaSet" and template else owner["name"]
    addresses = [found["ip"] for found in status.get("podIPs") or ()] or [status.get("podIP")]
    for address in filter(None, addresses):
        yield Named(address, f"{metadata.get('namespace', 'default')}/{workload}")


def _service(item: Item) -> Iterator[Named]:
    spec, metadata = item["spec"], item["metadata"]
    balancers = ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = [
        *(spec.get("clusterIPs") or [spec.get("clusterIP")]),
        *(spec.get("externalIPs") or ()),
        *(balancer.get("ip") for balancer in balancers),
    ]
    for address in addresses:
        if address and address != "None":
            yield Named(address, f"{metadata.get('namespace', 'default')}/{metadata['name']}")


#: What reads the items that have a key.
_READERS: dict[str, Callable[[Item], Iterable[Named]]] = {
    "NetworkInterfaceId": _aws_interface,
    "CidrBlock": _aws_subnet,
    "ipConfigurations": _azure_nic,
    "addressSpace": _azure_vnet,
    "networkInterfaces": _google_instance,
    "ipCidrRange": _google_subnet,
}
