"""What clouds and Kubernetes list becomes rows of the mapping file."""

import json
from typing import ClassVar

import pytest

from pipeline.errors import UsageError
from pipeline.formats.mappingfile import read_rules
from pipeline.inventory import Named, merged, read_inventory

AZURE = "/subscriptions/s/resourceGroups/g/providers"


@pytest.fixture
def read(tmp_path):
    def read(listed):
        path = tmp_path / "list.json"
        text = listed if isinstance(listed, str | bytes) else json.dumps(listed)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return [tuple(row) for row in read_inventory(path)]

    return read


class TestAws:
    INTERFACE: ClassVar = {
        "NetworkInterfaceId": "eni-1",
        "VpcId": "vpc-1",
        "Description": "ELB app/shop/1",
        "Attachment": {"InstanceId": "i-1"},
        "PrivateIpAddress": "10.0.0.5",
        "PrivateIpAddresses": [
            {"PrivateIpAddress": "10.0.0.5", "Association": {"PublicIp": "203.0.113.5"}},
            {"PrivateIpAddress": "10.0.0.6"},
        ],
        "Ipv6Addresses": [{"Ipv6Address": "2001:db8::5"}],
        "TagSet": [{"Key": "team", "Value": "x"}, {"Key": "Name", "Value": "web"}],
    }

    def test_an_interface_has_addresses_of_its_vpc_and_public_ones(self, read):
        assert read({"NetworkInterfaces": [self.INTERFACE]}) == [
            ("10.0.0.5/32", "web", "vpc-1"),
            ("203.0.113.5/32", "web", ""),
            ("10.0.0.6/32", "web", "vpc-1"),
            ("2001:db8::5/128", "web", "vpc-1"),
        ]

    def test_its_name_is_what_people_gave_and_else_what_there_is(self, read):
        names = []
        interface = dict(self.INTERFACE)
        for taken in (None, "TagSet", "Description", "Attachment"):
            interface.pop(taken, None)
            names.append(read({"NetworkInterfaces": [interface]})[0][1])
        assert names == ["web", "ELB app/shop/1", "i-1", "eni-1"]

    def test_subnets(self, read):
        subnet = {"SubnetId": "subnet-1", "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24"}
        more = {
            "Ipv6CidrBlockAssociationSet": [{"Ipv6CidrBlock": "2001:db8::/64"}],
            "Tags": [{"Key": "Name", "Value": "db"}],
        }
        assert read({"Subnets": [subnet, subnet | more]}) == [
            ("10.0.0.0/24", "subnet-1", "vpc-1"),
            ("10.0.0.0/24", "db", "vpc-1"),
            ("2001:db8::/64", "db", "vpc-1"),
        ]

    def test_of_aws_s_ranges_a_service_s_own_name_goes_first(self, read):
        prefixes = [
            ("192.0.2.0/24", "AMAZON"),
            ("192.0.2.0/24", "EC2"),
            ("192.0.2.0/24", "S3"),
            ("198.51.100.0/24", "AMAZON"),
        ]
        listed = {
            "prefixes": [{"ip_prefix": cidr, "service": service} for cidr, service in prefixes],
            "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "service": "ROUTE53_HEALTHCHECKS"}],
        }
        assert set(read(listed)) == {
            ("192.0.2.0/24", "aws-s3", ""),
            ("198.51.100.0/24", "aws", ""),
            ("2001:db8::/32", "aws-route53-healthchecks", ""),
        }


class TestGoogle:
    NETWORK = "https://www.googleapis.com/compute/v1/projects/p/global/networks/shop"

    def test_instances(self, read):
        interface = {
            "network": self.NETWORK,
            "networkIP": "10.0.0.5",
            "accessConfigs": [{"natIP": "203.0.113.5"}, {}],
            "aliasIpRanges": [{"ipCidrRange": "10.4.0.0/24"}],
        }
        manager = "projects/1/zones/z/instanceGroupManagers/web"
        grouped = {"metadata": {"items": [{"key": "x"}, {"key": "created-by", "value": manager}]}}
        alone = {"name": "vm-1", "networkInterfaces": [interface]}
        assert read([alone]) == [
            ("10.0.0.5/32", "vm-1", "shop"),
            ("10.4.0.0/24", "vm-1", "shop"),
            ("203.0.113.5/32", "vm-1", ""),
        ]
        assert {app for _, app, _ in read([alone | grouped])} == {"web"}

    def test_subnets(self, read):
        second = [{"rangeName": "pods", "ipCidrRange": "10.8.0.0/14"}]
        subnet = {"name": "main", "network": self.NETWORK, "ipCidrRange": "10.0.0.0/20", "secondaryIpRanges": second}
        assert read([subnet]) == [("10.0.0.0/20", "main", "shop"), ("10.8.0.0/14", "main-pods", "shop")]


class TestAzure:
    @pytest.mark.parametrize("key", ["privateIPAddress", "privateIpAddress"])
    def test_interfaces(self, read, key):
        subnet = {"id": f"{AZURE}/Microsoft.Network/virtualNetworks/shop/subnets/web"}
        nic = {"name": "nic-1", "ipConfigurations": [{key: "10.0.0.5", "subnet": subnet, "publicIPAddress": {"id": "x"}}]}
        machine = {"virtualMachine": {"id": f"{AZURE}/Microsoft.Compute/virtualMachines/vm-1"}}
        assert read([nic, nic | machine]) == [("10.0.0.5/32", "nic-1", "shop"), ("10.0.0.5/32", "vm-1", "shop")]

    def test_networks(self, read):
        subnets = [{"name": "web", "addressPrefix": "10.0.1.0/24"}, {"name": "db", "addressPrefixes": ["10.0.2.0/24"]}]
        vnet = {"name": "shop", "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
        assert read([vnet]) == [
            ("10.0.1.0/24", "web", "shop"),
            ("10.0.2.0/24", "db", "shop"),
            ("10.0.0.0/16", "shop", "shop"),
        ]


class TestKubernetes:
    @staticmethod
    def pod(owner=None, labels=None, spec=None, **status):
        metadata = {"name": "web-7f9c-x2x", "namespace": "shop", "labels": labels or {}}
        if owner:
            metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1]}]
        return {"kind": "Pod", "metadata": metadata, "spec": spec or {}, "status": {"podIP": "10.8.0.5"} | status}

    @pytest.mark.parametrize(
        ("owner", "app"),
        [
            (("ReplicaSet", "web-7f9c"), "shop/web"),
            (("StatefulSet", "db"), "shop/db"),
            (None, "shop/web-7f9c-x2x"),
        ],
    )
    def test_a_pod_is_its_workload_s(self, read, owner, app):
        pod = self.pod(owner, {"pod-template-hash": "7f9c"})
        assert read({"kind": "List", "items": [pod]}) == [("10.8.0.5/32", app, "")]

    def test_a_pod_may_have_two_addresses(self, read):
        found = read({"items": [self.pod(podIPs=[{"ip": "10.8.0.5"}, {"ip": "fd00::5"}])]})
        assert [cidr for cidr, *_ in found] == ["10.8.0.5/32", "fd00::5/128"]

    def test_a_pod_that_has_no_address_of_its_own_is_left_out(self, read):
        assert (
            read({"items": [self.pod(spec={"hostNetwork": True}), self.pod(phase="Succeeded"), self.pod(podIP=None)]}) == []
        )

    def test_a_service_has_the_addresses_that_it_answers_at(self, read):
        service = {"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"clusterIPs": ["10.9.0.1"]}}
        more = {"spec": {"clusterIP": "None", "externalIPs": ["192.0.2.1"]}}
        balanced = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"hostname": "x"}]}}}
        found = read({"items": [service, service | more | balanced]})
        assert found == [(f"{ip}/32", "shop/web", "") for ip in ("10.9.0.1", "192.0.2.1", "203.0.113.9")]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("{", "cannot be read as JSON"),
        (b"\x89PNG", "cannot be read as JSON: it is not UTF-8 text"),
        ({"a": 1}, "is no list that flowlog knows; it knows describe-network-interfaces"),
        ([{"a": 1}], "is no list that flowlog knows"),
        ("5", "is no list that flowlog knows"),
        ([{"name": "x", "ipCidrRange": "ten"}], "is not whole, or not as its command prints it"),
        ({"Subnets": [{"SubnetId": "s", "CidrBlock": 5.5}]}, "is not whole"),
        ([{"addressSpace": {}}], "is not whole"),
        ({"Subnets": [{"SubnetId": "s", "CidrBlock": 5}]}, "5 is no address"),
        ({"Subnets": [{"SubnetId": "s", "CidrBlock": "10.0.0.0/8", "VpcId": ["v"]}]}, "which is no text"),
        ({"Subnets": [{"SubnetId": "\ud800", "CidrBlock": "10.0.0.0/8"}]}, "which is no text"),
        ([5], "is no"),
    ],
)
def test_what_is_no_list_is_a_sentence(read, listed, message):
    with pytest.raises(UsageError, match=message):
        read(listed)


@pytest.mark.parametrize("listed", [[], {"items": []}, {"NetworkInterfaces": []}, {"Subnets": []}])
def test_an_empty_list_has_nothing(read, listed):
    assert read(listed) == []


def test_a_network_that_is_in_null_is_in_none(read):
    subnet = {"SubnetId": "s", "CidrBlock": "10.0.0.0/8", "VpcId": None}
    assert read({"Subnets": [subnet]}) == [("10.0.0.0/8", "s", "")]


def test_a_network_has_the_name_that_came_first_and_the_mapping_file_takes_it(tmp_path):
    rows = [
        Named("10.0.0.5/32", "web"),
        Named("10.0.0.5/32", "x"),
        Named("10.0.0.0/8", "net, all"),
        Named("10.0.0.5/32", "v", "1"),
    ]
    kept, others = merged(rows)
    assert (kept, others) == ([rows[2], rows[0], rows[3]], 1)
    path = tmp_path / "apps.csv"
    path.write_text("cidr,app,vpc_id\n" + "".join(f'{row.cidr},"{row.app}",{row.vpc_id}\n' for row in kept))
    assert [rule.app for rule in read_rules(path)] == ["net, all", "web", "v"]
