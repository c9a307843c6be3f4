"""`flowlog apps`: a mapping file of what clouds list, and what has no name yet."""

import json

import pytest

from pipeline.flowstore import FlowStore

SUBNETS = {"Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24", "Tags": []}]}


@pytest.fixture
def store(tmp_path):
    raw = tmp_path / "flows.csv"
    raw.write_text(
        "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n498752,web,10.0.0.1,v,60,0\n498753,web,db,v,40,0\n498753,10.0.0.2,db,v,0,50\n"
    )
    store = FlowStore(tmp_path / "store", create=True)
    store.ingest([str(raw)])
    return str(tmp_path / "store")


def test_lists_become_a_mapping_file(flowlog, tmp_path):
    (tmp_path / "subnets.json").write_text(json.dumps(SUBNETS))
    (tmp_path / "more.json").write_text(json.dumps({"Subnets": [SUBNETS["Subnets"][0] | {"SubnetId": "other"}]}))
    paths = [str(tmp_path / name) for name in ("subnets.json", "more.json")]
    outcome = flowlog("apps", *paths)
    assert (outcome.code, outcome.out) == (0, "cidr,app,vpc_id\n10.0.0.0/24,subnet-1,vpc-1\n")
    assert "more.json: 1 row" in outcome.err
    assert "1 of them had another name before" in outcome.err
    assert json.loads(flowlog("apps", *paths, "--json").out) == [
        {"cidr": "10.0.0.0/24", "app": "subnet-1", "vpc_id": "vpc-1"}
    ]


def test_without_a_list_it_shows_what_has_no_name(flowlog, store):
    outcome = flowlog("apps", "--store", store)
    assert [line.split() for line in outcome.out.splitlines()][-2:] == [["10.0.0.1", "v", "60"], ["10.0.0.2", "v", "50"]]
    assert outcome.err == "26.7 % of the bytes have a name at both ends, 73.3 % at one\n"
    outcome = flowlog("apps", "--store", store, "--hour", "498753", "--top", "1", "--json")
    assert json.loads(outcome.out) == {
        "addresses": [{"address": "10.0.0.2", "vpc_id": "v", "bytes": 50}],
        "count": 1,
        "total": 90,
        "named": 40,
        "half": 50,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch.json"], "nosuch.json cannot be read: No such file or directory"),
        (["a.json", "--hour", "1"], "--hour and --until are of the store"),
        (["--until", "5"], "--until ends a range that has no start"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(flowlog, store, arguments, message):
    outcome = flowlog("apps", *arguments, "--store", store)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
