"""Options: each declared once, whatever is made of it."""

import json
import pickle
from dataclasses import fields
from pathlib import Path

import pytest

from pipeline.counting.reading import fingerprint, resolved
from pipeline.declarations import ZERO_BYTES, Option, options_of
from pipeline.errors import UsageError
from pipeline.options import IngestOptions, ReadOptions, settings_of
from pipeline.service.options import ServeOptions
from pipeline.store.ledger import RunRecord

FIELDS = "aws-vpc.fields"


def test_the_variable_is_named_after_the_option():
    assert Option("--min-age", "").variable == "FLOWLOG_MIN_AGE"


@pytest.mark.parametrize("holder", [IngestOptions, ServeOptions])
def test_every_field_but_a_digest_is_an_option_of_a_name_of_its_own(holder):
    declared = options_of(holder)
    assert {known.name for known in fields(holder)} - declared.keys() <= {"apps_digest"}
    assert len({option.name for option in declared.values()}) == len(declared)


def test_options_of_the_same_name_are_the_same():
    both = {option.name: option for option in options_of(IngestOptions).values()}
    shared = [option for option in options_of(ServeOptions).values() if option.name in both]
    assert [both[option.name] for option in shared] == shared == [ZERO_BYTES]


class TestReadOptions:
    OPTIONS = ReadOptions("zeek", Path("/etc/apps.csv"), "ab12", "vpc-1", {FIELDS: "start bytes"}, "reject", spread="hours")

    @pytest.mark.parametrize("given", [OPTIONS, ReadOptions()])
    def test_the_ledger_gives_back_what_it_keeps(self, given):
        kept = json.loads(json.dumps(given.to_json()))
        assert ReadOptions.from_json(kept) == given
        assert pickle.loads(pickle.dumps(given)) == given

    def test_the_ledger_keeps_what_decides_how_a_source_counts_and_nothing_else(self):
        kept = resolved(IngestOptions(format="csv", vpc_id="v", workers=3, strict=True)).to_json()
        assert kept == {
            "format": "csv",
            "apps": None,
            "apps_digest": None,
            "vpc_id": "v",
            "settings": {},
            "zero_bytes": "accept",
            "timezone": "UTC",
            "both_ends": "once",
            "logged": [],
            "hop": [],
            "spread": "start",
        }

    def test_a_run_s_record_has_them(self, ingested):
        record: RunRecord = ingested("a,b,v,1,1,1", vpc_id="w").runs()[0]
        assert record.interpretation == ReadOptions(vpc_id="w").to_json()

    def test_a_mapping_file_is_kept_by_its_real_path_and_its_content(self, tmp_path, monkeypatch):
        (tmp_path / "apps.csv").write_text("cidr,app\n10.0.0.0/8,a\n")
        (tmp_path / "link.csv").symlink_to("apps.csv")
        monkeypatch.chdir(tmp_path)
        found = resolved(ReadOptions(apps=Path("link.csv")))
        assert found.apps == tmp_path / "apps.csv"
        (tmp_path / "apps.csv").write_text("cidr,app\n10.0.0.0/8,b\n")
        assert resolved(ReadOptions(apps=Path("link.csv"))).apps_digest != found.apps_digest

    def test_equal_options_have_one_fingerprint_and_others_another(self):
        given = [ReadOptions(), ReadOptions(zero_bytes="reject"), ReadOptions(settings={FIELDS: "start"}), self.OPTIONS]
        assert len({fingerprint(one) for one in given}) == 4
        assert fingerprint(ReadOptions()) == fingerprint(ReadOptions())


class TestEnds:
    def test_networks_and_interfaces_are_kept_one_by_one(self, tmp_path):
        (tmp_path / "nets").write_text("10.2.0.0/16\n")
        given = ReadOptions(logged=("10.1.0.0/16,10.1.5.0/24", str(tmp_path / "nets")), hop=("eni-2, eni-1", "eni-1"))
        found = resolved(given)
        assert (found.logged, found.hop) == (("10.1.0.0/16", "10.2.0.0/16"), ("eni-1", "eni-2"))
        assert ReadOptions.from_json(json.loads(json.dumps(found.to_json()))) == found

    @pytest.mark.parametrize("given", [{"logged": ("10.0.0.0/8",)}, {"hop": ("eni-1",)}])
    def test_what_is_left_out_cannot_be_said_where_nothing_is(self, given):
        with pytest.raises(UsageError, match="--both-ends count leaves none out; choose one"):
            resolved(ReadOptions(both_ends="count", **given))

    @pytest.mark.parametrize("hop", ["", "eni-1,", ","])
    def test_an_interface_without_a_name_is_refused(self, hop):
        with pytest.raises(UsageError, match="--hop: an interface has no name"):
            resolved(ReadOptions(hop=(hop,)))

    def test_records_of_before_there_were_these_are_read(self):
        kept = {name: value for name, value in ReadOptions().to_json().items() if name not in ("both_ends", "logged", "hop")}
        assert ReadOptions.from_json(kept) == ReadOptions()


class TestSettings:
    def test_a_setting_is_all_behind_the_first_equals_sign(self):
        assert settings_of(["a.b=c=d", "e.f="]) == {"a.b": "c=d", "e.f": ""}

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [(["a.b"], "'a.b' is not a setting; write it like"), (["a.b=1", "a.b=1"], "a.b is there twice")],
    )
    def test_what_is_none_is_refused(self, words, sentence):
        with pytest.raises(UsageError, match=sentence):
            settings_of(words)

    @pytest.mark.parametrize("name", ["aws-vpc.field", "gcp.fields", "fields", ""])
    def test_a_setting_that_no_format_has_is_refused_with_those_that_there_are(self, name):
        with pytest.raises(UsageError, match=f"there is no setting {name}; the settings are .*{FIELDS}"):
            resolved(ReadOptions(settings={name: "x"}))

    def test_a_value_that_the_format_cannot_use_is_refused(self):
        with pytest.raises(UsageError, match="'srcadr' is not a field of AWS VPC flow logs"):
            resolved(ReadOptions(settings={FIELDS: "srcadr dstaddr bytes start"}))


class TestSettingsOfTheCommandLine:
    NAMES = "srcaddr dstaddr bytes start"

    @pytest.fixture(autouse=True)
    def _log(self, tmp_path, monkeypatch):
        (tmp_path / "a.log").write_text("10.0.0.1 10.0.0.2 400 1764144000\n")
        monkeypatch.chdir(tmp_path)

    def bytes_of(self, done):
        assert done.code == 0
        return json.loads(done.out)["bytes_tx"]

    @pytest.mark.parametrize("given", [["--set", f"{FIELDS}={NAMES}"], ["--aws-fields", NAMES]])
    def test_the_old_option_is_a_name_for_the_setting(self, flowlog, given):
        assert self.bytes_of(flowlog("ingest", "a.log", "--store", "store", "--json", *given)) == 400
        kept = json.loads(flowlog("runs", "--store", "store", "--json").out)[0]["interpretation"]
        assert kept["settings"] == {FIELDS: self.NAMES}

    def test_the_option_is_also_a_name_for_the_setting_of_transit_gateways(self, flowlog):
        names = "version tgw-id srcaddr dstaddr bytes start flow-direction"
        Path("b.log").write_text("6 tgw-0a1b2c3d4e 10.0.0.1 10.0.0.2 400 1764144000 ingress\n")
        assert self.bytes_of(flowlog("ingest", "b.log", "--store", "store", "--json", "--aws-fields", names)) == 400
        kept = json.loads(flowlog("runs", "--store", "store", "--json").out)[0]["interpretation"]
        assert kept["settings"] == {"aws-tgw.fields": names}

    @pytest.mark.parametrize("value", [f'{FIELDS}="{NAMES}"', f"'{FIELDS}={NAMES}'"])
    def test_quotes_in_the_variable_keep_together_what_has_blanks(self, flowlog, monkeypatch, value):
        monkeypatch.setenv("FLOWLOG_SET", value)
        assert self.bytes_of(flowlog("ingest", "a.log", "--store", "store", "--json")) == 400

    @pytest.mark.parametrize(
        ("variable", "given", "sentence"),
        [
            (None, ["--set", "aws-vpc.field=x"], "flowlog: --set: there is no setting aws-vpc.field; the settings are "),
            (None, ["--set", FIELDS], f"flowlog: --set: '{FIELDS}' is not a setting; write it like"),
            (None, ["--set", f"{FIELDS}={NAMES}", "--aws-fields", NAMES], f"flowlog: {FIELDS} is given twice"),
            (f"{FIELDS}={NAMES}", [], "flowlog: --set: 'dstaddr' is not a setting"),
            (f'{FIELDS}="{NAMES}', [], "No closing quotation"),
        ],
    )  # fmt: skip
    def test_what_is_unfit_is_a_sentence(self, flowlog, monkeypatch, variable, given, sentence):
        if variable:
            monkeypatch.setenv("FLOWLOG_SET", variable)
        done = flowlog("ingest", "a.log", "--store", "store", *given)
        assert (done.code, done.out) == (2, "")
        assert sentence in done.err
