"""The fields of AWS text that a user names."""

import pytest

from pipeline.errors import UsageError
from pipeline.formats.awsfields import ALL_FIELDS, DEFAULT_FIELDS, FIELDS, fields_given, gateway_fields_given

V2 = " ".join(DEFAULT_FIELDS)


@pytest.mark.parametrize(
    "text",
    [
        V2,
        V2.replace("-", "_"),
        " ".join("${%s}" % name for name in DEFAULT_FIELDS),  # as AWS has a custom format written  # noqa: UP031
    ],
)
def test_they_may_be_written_in_several_ways(text):
    assert fields_given(text.split()) == DEFAULT_FIELDS


def test_those_of_every_version_are_known():
    assert len(FIELDS) == 14 + 7 + 4 + 4 + 10 + 1 + 1 + 1
    assert set(fields_given(sorted(FIELDS))) == FIELDS


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("srcadr", r"'srcadr' is not a field of AWS VPC flow logs; is srcaddr meant\?"),
        ("log_statuss", r"'log-statuss' is not a field of AWS VPC flow logs; is log-status meant\?"),
        ("SRCADDR", "'SRCADDR' is not a field"),
        ("zzz", "'zzz' is not a field of AWS VPC flow logs$"),
        ("bytes", r"--aws-fields \(--set aws-vpc\.fields\) names the column bytes 2 times"),
        ("tgw-id", r"aws-vpc\.fields names fields of a Transit Gateway flow log: set aws-tgw\.fields"),
        ("transit_gateway_id", "names fields of a Transit Gateway flow log"),
    ],
)
def test_what_no_version_has_is_a_wrong_request(given, problem):
    with pytest.raises(UsageError, match=problem):
        fields_given([*DEFAULT_FIELDS, given])


@pytest.mark.parametrize("names", [["srcaddr", "bytes"], ["bytes", "srcaddr", "vpc-id"]])
def test_a_field_without_which_nothing_counts_is_a_wrong_request(names):
    with pytest.raises(UsageError, match="dstaddr and start must be there, too"):
        fields_given(names)


def test_those_of_a_transit_gateway_are_known():
    assert (
        gateway_fields_given(["${transit-gateway-id}", "start", "bytes", "srcaddr", "dstaddr", "flow_direction"])[0]
        == "tgw-id"
    )
    assert set(gateway_fields_given(sorted(ALL_FIELDS))) == ALL_FIELDS
    with pytest.raises(UsageError, match=r"--aws-fields \(--set aws-tgw\.fields\): flow-direction must be there, too"):
        gateway_fields_given(["tgw-id", "start", "bytes", "srcaddr", "dstaddr"])
    with pytest.raises(UsageError, match="'tgw-idd' is not a field of AWS Transit Gateway flow logs; is tgw-id meant"):
        gateway_fields_given(["tgw-idd"])
