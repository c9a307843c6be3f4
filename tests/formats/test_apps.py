"""Which app has an address."""

import ipaddress
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.counting.reading import resolved
from pipeline.errors import UsageError
from pipeline.formats.apps import AppMap, load_app_map
from pipeline.formats.mappingfile import logged_networks
from pipeline.formats.rules import Rule
from pipeline.options import ReadOptions
from pipeline.schema import DICTIONARY_TEXT


def app_map(*rules):
    """From `"10.0.0.0/8 web"` or `"10.0.0.0/8 web vpc-1"`."""
    parts = [(*rule.split(), None)[:3] for rule in rules]
    return AppMap((ipaddress.ip_network(cidr), app, vpc_id) for cidr, app, vpc_id in parts)


def apps_of(apps, addresses, vpc_ids, *named):
    """The apps of some addresses, all in one hour."""
    return apps.apps_of(addresses, vpc_ids, np.full(len(addresses), 498_754), *named)


def app_of(apps, address, vpc_id=None, hour=498_754):
    columns = pa.array([address], DICTIONARY_TEXT), pa.array([vpc_id], DICTIONARY_TEXT)
    names, invalid = apps.apps_of(*columns, np.array([hour]))
    return "invalid" if invalid[0] else names[0].as_py()


class TestLookUp:
    RULES = app_map(
        "10.0.0.0/8 net",
        "10.1.0.0/16 office",
        "10.1.0.0/16 office-1 vpc-1",
        "10.1.2.3/32 printer",
        "10.2.0.0/16 elsewhere vpc-2",
        "2001:db8::/32 six",
        "2001:db8::1/128 six-one",
    )

    @pytest.mark.parametrize(
        ("address", "vpc_id", "app"),
        [
            ("10.9.9.9", None, "net"),
            ("10.1.9.9", None, "office"),
            ("10.1.9.9", "vpc-1", "office-1"),
            ("10.1.9.9", "vpc-2", "office"),
            ("10.1.2.3", "vpc-1", "printer"),  # the longer prefix goes before the VPC's own rule
            ("10.2.0.1", "vpc-2", "elsewhere"),
            ("10.2.0.1", "vpc-1", "net"),
            ("10.255.255.255", None, "net"),
            ("11.0.0.0", None, "11.0.0.0"),
            ("9.255.255.255", None, "9.255.255.255"),
            ("2001:db8::1", None, "six-one"),
            ("2001:0DB8:0:0::2", None, "six"),
            ("2001:db9::", None, "2001:db9::"),
            ("::10.1.2.3", None, "::10.1.2.3"),  # an IPv6 address: no rule for IPv4 holds it
            ("::ffff:10.9.9.9", None, "net"),  # an IPv4 address, as a socket for both kinds writes it
            ("::FFFF:0a01:0909", "vpc-1", "office-1"),
            ("::ffff:11.0.0.0", None, "11.0.0.0"),
            ("::fffe:10.1.2.3", None, "::fffe:a01:203"),
        ],
    )
    def test_the_longest_prefix_names_the_app(self, address, vpc_id, app):
        assert app_of(self.RULES, address, vpc_id) == app

    def test_a_rule_can_hold_every_address_of_its_family(self):
        apps = app_map("0.0.0.0/0 internet")
        assert [app_of(apps, address) for address in ("0.0.0.0", "255.255.255.255", "::1")] == [
            "internet",
            "internet",
            "::1",
        ]

    @pytest.mark.parametrize(
        ("address", "app"),
        [
            ("10.0.0.1", "10.0.0.1"),
            ("FE80:0000:0000:0000:0000:0000:0000:000A", "fe80::a"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("::", "::"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ],
    )
    def test_an_address_without_a_rule_is_its_own_app_in_its_shortest_form(self, address, app):
        assert app_of(AppMap(), address) == app

    @pytest.mark.parametrize(
        "address",
        [
            *["", " ", "web", "1", "10.0.0", "10.0.0.256", "10.0.0.1.1", " 10.0.0.1", "10.0.0.1/32", "10.0.0.1:80"],
            *["010.0.0.1", "0x7f.0.0.1", "\N{ARABIC-INDIC DIGIT ONE}0.0.0.1", "10.0.0.1\0"],
            *[":", ":::", "12345::", "fe80::1%eth0", "fe80::1\0", "[::1]"],
        ],
    )
    def test_what_is_no_address_is_marked(self, address):
        assert app_of(self.RULES, address) == "invalid"

    def test_a_null_is_neither_an_app_nor_a_fault(self):
        assert app_of(self.RULES, None) is None
        assert app_of(self.RULES, None, "vpc-1") is None

    def test_a_column_is_answered_cell_by_cell(self):
        addresses = ["10.1.9.9", None, "10.1.9.9", "bad", "10.1.9.9", "2001:db8::1"]
        vpc_ids = ["vpc-1", "vpc-1", None, "vpc-1", "vpc-1", "vpc-2"]
        names, invalid = apps_of(self.RULES, pa.array(addresses, DICTIONARY_TEXT), pa.array(vpc_ids, DICTIONARY_TEXT))
        assert names.to_pylist() == ["office-1", None, "office", None, "office-1", "six-one"]
        assert invalid.tolist() == [False, False, False, True, False, False]

    @pytest.mark.parametrize("rules", [("10.0.0.0/8 net",), ("10.0.0.0/8 net", "11.0.0.0/8 other vpc-1"), ()])
    def test_an_app_that_the_log_names_counts_where_no_rule_holds_the_address(self, rules):
        addresses = ["10.0.0.1", "10.0.0.1", "192.0.2.1", "192.0.2.1", None, None, "bad"]
        named = ["a", None, "b", None, "c", None, "d"]
        vpc_ids = pa.array([None] * len(named), DICTIONARY_TEXT)
        apps, invalid = apps_of(
            app_map(*rules), pa.array(addresses, DICTIONARY_TEXT), vpc_ids, pa.array(named, DICTIONARY_TEXT)
        )
        first = ["net", "net"] if rules else ["a", "10.0.0.1"]
        assert apps.to_pylist() == [*first, "b", "192.0.2.1", "c", None, "d"]
        assert invalid.tolist() == [False] * 6 + [True]

    def test_a_column_may_have_the_addresses_of_one_before_and_more(self):
        rules = app_map("10.0.0.0/8 net")
        distinct = ["10.0.0.1", "bad", "192.0.2.1", "10.0.0.2", "worse"]
        for count in (2, 3, 3, 5, 1, 4):
            texts = pa.array(distinct[:count])
            column = pa.DictionaryArray.from_arrays(pa.array(range(count), pa.int32()), texts)
            names, invalid = apps_of(rules, column, pa.array([None] * count, DICTIONARY_TEXT))
            assert names.to_pylist() == ["net", None, "192.0.2.1", "net", None][:count]
            assert invalid.tolist() == [False, True, False, False, True][:count]

    def test_no_addresses_have_no_apps(self):
        names, invalid = apps_of(self.RULES, pa.array([], DICTIONARY_TEXT), pa.array([], DICTIONARY_TEXT))
        assert (names.type, len(names), len(invalid)) == (DICTIONARY_TEXT, 0, 0)

    vpcs = st.sampled_from([None, "v1", "v2"])
    numbers = st.integers(0, 255)

    @settings(deadline=None)
    @given(
        st.dictionaries(st.tuples(numbers, st.integers(24, 32), vpcs), st.sampled_from("abc"), max_size=8),
        st.lists(st.tuples(numbers, vpcs), min_size=1, max_size=8),
    )
    def test_it_agrees_with_a_search_through_all_rules(self, rules, looked_up):
        networks = {
            (ipaddress.ip_network((f"10.0.0.{number}", length), strict=False), vpc_id): app
            for (number, length, vpc_id), app in rules.items()
        }

        def searched(address, vpc_id):
            held = [
                (network.prefixlen, rule_vpc is not None, app)
                for (network, rule_vpc), app in networks.items()
                if ipaddress.ip_address(address) in network and rule_vpc in (None, vpc_id)
            ]
            return max(held)[2] if held else address

        apps = AppMap((network, app, vpc_id) for (network, vpc_id), app in networks.items())
        addresses = [f"10.0.0.{number}" for number, _ in looked_up]
        vpc_ids = [vpc_id for _, vpc_id in looked_up]
        names, invalid = apps_of(apps, pa.array(addresses, DICTIONARY_TEXT), pa.array(vpc_ids, DICTIONARY_TEXT))
        assert names.to_pylist() == [searched(*pair) for pair in zip(addresses, vpc_ids, strict=True)]
        assert not invalid.any()


class TestMappingFile:
    @pytest.mark.parametrize(
        ("cidr", "address", "app"),
        [
            ("::ffff:10.0.0.0/104", "10.1.2.3", "net"),
            ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "net"),
            ("::ffff:10.1.2.3/128", "10.1.2.3", "net"),
            ("::ffff:0:0/96", "192.0.2.1", "net"),
            ("::ffff:0:0/96", "2001:db8::1", "2001:db8::1"),
            ("::/0", "10.1.2.3", "10.1.2.3"),
            ("::/0", "::ffff:10.1.2.3", "10.1.2.3"),
        ],
    )
    def test_a_network_of_ipv4_addresses_may_be_written_as_one_of_ipv6(self, tmp_path, cidr, address, app):
        (tmp_path / "apps.csv").write_text(f"cidr,app\n{cidr},net\n")
        assert app_of(load_app_map(tmp_path / "apps.csv"), address) == app

    def test_a_network_in_two_spellings_is_one(self, tmp_path):
        (tmp_path / "apps.csv").write_text("cidr,app\n10.0.0.0/8,a\n::ffff:10.0.0.0/104,b\n")
        with pytest.raises(UsageError, match=r"line 3: 10\.0\.0\.0/8 is 'a' on line 2 already"):
            load_app_map(tmp_path / "apps.csv")

    @pytest.fixture
    def load(self, tmp_path):
        def load(text):
            path = tmp_path / "apps.csv"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return load_app_map(path)

        return load

    @pytest.mark.parametrize(
        "text",
        [
            "cidr,app\n10.0.0.0/8,web\n",
            "cidr,app,vpc_id\n10.0.0.0/8,web,\n",
            "app,owner,cidr\nweb,me,10.0.0.0/8\n",
            "\ufeffcidr,app\r\n10.0.0.0/8,web",
            "cidr,app\n\n 10.0.0.0/8 , web \n\n",
            'cidr,app\n"10.0.0.0/8","web"\n',
            "cidr,app\n10.0.0.0/8,web\n10.0.0.0/8,web\n",  # the same twice is no contradiction
            "cidr,app\n10.0.0.0/255.0.0.0,web\n",
            "cidr,app\n10.1.2.3,web\n",
        ],
    )
    def test_it_names_apps(self, load, text):
        assert app_of(load(text), "10.1.2.3") == "web"

    def test_a_rule_may_speak_for_one_vpc(self, load):
        apps = load("cidr,app,vpc_id\n10.0.0.0/8,all,\n10.0.0.0/8,one,vpc-1\n10.0.0.0/8,two,vpc-2\n")
        assert [app_of(apps, "10.0.0.1", vpc_id) for vpc_id in ("vpc-1", "vpc-2", None)] == ["one", "two", "all"]

    def test_blanks_around_the_columns_names_do_not_matter(self, load):
        assert app_of(load("cidr, app , vpc_id\n10.0.0.0/8, web, vpc-1\n"), "10.0.0.1", "vpc-1") == "web"

    def test_an_app_may_have_a_comma_and_any_script(self, load):
        assert app_of(load('cidr,app\n10.0.0.0/8,"web, вход"\n'), "10.0.0.1") == "web, вход"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the first line must be the header cidr,app"),
            ("10.0.0.0/8,web\n", "the first line must be the header cidr,app"),
            (
                "cidr;app\n10.0.0.0/8;web\n",
                "the first line must be the header cidr,app[,vpc_id,from,until,logged], not 'cidr;app'",
            ),
            (
                "cidr,app,vpc\n10.0.0.0/8,web,v\n",
                "the header has no column vpc_id, but 'vpc': write vpc_id, or another name",
            ),
            ("cidr,app,UNTIL\n10.0.0.0/8,web,5\n", "the header has no column until, but 'UNTIL'"),
            ("CIDR,app\n10.0.0.0/8,web\n", "the first line must be the header cidr,app"),
            ("cidr,app,app\n10.0.0.0/8,web,cart\n", "the header names the column app 2 times"),
            ("cidr,app,from, from\n10.0.0.0/8,web,,\n", "the header names the column from 2 times"),
            ("cidr,app\n10.0.0.0/8,\n", "line 2: app must not be empty"),
            ("cidr,app\n10.0.0.0/8,  \n", "line 2: app must not be empty"),
            ("cidr,app\n10.0.0.0/8\n", "line 2: app must not be empty"),
            ("cidr,app\n10.0.0.0/8,a\n,web\n", "line 3: cidr: "),
            ("cidr,app\nten,web\n", "line 2: cidr: 'ten' does not appear to be an IPv4 or IPv6 network"),
            (
                "cidr,app\n10.0.0.1/8,web\n",
                "line 2: cidr: 10.0.0.1/8 has host bits set: write 10.0.0.0/8 for the network, or 10.0.0.1 for the",
            ),
            ("cidr,app\n10.0.0.0/33,web\n", "line 2: cidr: '10.0.0.0/33' does not appear"),
            ("cidr,app\n10.0.0.0/8,a\n10.0.0.0/8,b\n", "line 3: 10.0.0.0/8 is 'a' on line 2 already, not 'b'"),
            ("cidr,app,vpc_id\n::/0,a,v\n::/0,b,v\n", "line 3: ::/0 is 'a' on line 2 already, not 'b'"),
            ('cidr,app\n"10.0.0.0/8,web\n', "cannot be read: a quote is opened that is never closed"),
            ("cidr,app,from\n::/0,a,5x\n", "line 2: from must be a UTC time (2026-11-24T08:30:00Z), a day (2026-11-24) or"),
            ("cidr,app,from\n::/0,a,today\n", "line 2: from must be a UTC time"),
            ("cidr,app,until\n::/0,a,1795507200\n", "line 2: until: the hour 1795507200 "),
            ("cidr,app,from,until\n::/0,a,10,10\n", "line 2: from (10) must be before until (10), in another hour"),
            ("cidr,app,from,until\n::/0,a,10,20\n::/0,b,19,30\n", "line 3: ::/0 is 'a' on line 2 already, not 'b', in some"),
            ("cidr,app,from\n::/0,a,\n::/0,b,19\n", "line 3: ::/0 is 'a' on line 2 already, not 'b', in some hours"),
            ("cidr,app,logged\n::/0,a,true\n", "line 2: logged must be yes, no or empty, not 'true'"),
            ("cidr,app,vpc_id,logged\n::/0,a,v,yes\n::/0,a,w,no\n", "line 3: ::/0 is logged on line 2 already"),
            (b"cidr,app\n10.0.0.0/8,\xff\n", "cannot be read: it is not UTF-8 text"),
        ],
    )
    def test_what_is_no_rule_is_named_with_its_line(self, load, text, message):
        with pytest.raises(UsageError, match=r"apps\.csv") as error:
            load(text)
        assert message in str(error.value)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9), st.integers(1, 5)), max_size=6))
    def test_hours_are_refused_that_two_apps_have_and_no_others(self, spans):
        rows = [f"::/0,{app},{first},{first + length}\n" for app, first, length in spans]
        apps = [{app for app, first, length in spans if first <= hour < first + length} for hour in range(20)]
        with TemporaryDirectory() as folder:
            path = Path(folder, "apps.csv")
            path.write_text("cidr,app,from,until\n" + "".join(rows))
            if max(map(len, apps)) > 1:
                with pytest.raises(UsageError, match="already"):
                    load_app_map(path)
            else:
                load_app_map(path)

    def test_the_history_of_an_address_takes_no_longer_than_as_many_addresses(self, load):
        """Each row was held against all others of its network: that of a year of hours took ten seconds."""
        began = time.perf_counter()
        load("cidr,app,from,until\n" + "".join(f"10.0.0.5,pod-{i},{i},{i + 1}\n" for i in range(1, 20_000)))
        assert time.perf_counter() - began < 20

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(UsageError, match=r"the mapping file .*missing\.csv cannot be read"):
            load_app_map(tmp_path / "missing.csv")

    HANDS = "cidr,app,from,until\n10.0.0.5,web,,498754\n10.0.0.5,db,2026-11-24T10:40:00Z,2026-11-25\n10.0.0.0/24,net,,\n"

    @pytest.mark.parametrize(
        ("hour", "app"), [(1, "web"), (498_753, "web"), (498_754, "db"), (498_767, "db"), (498_768, "net"), (600_000, "net")]
    )
    def test_an_address_that_changes_hands_does_so_at_the_hour(self, load, hour, app):
        assert app_of(load(self.HANDS), "10.0.0.5", hour=hour) == app

    def test_the_hours_of_a_column_are_looked_at_row_by_row(self, load):
        hours = np.array([498_753, 498_754, 498_768, 498_753])
        addresses = pa.array(["10.0.0.5"] * 3 + ["10.0.0.6"], DICTIONARY_TEXT)
        names, _ = load(self.HANDS).apps_of(addresses, pa.array([None] * 4, DICTIONARY_TEXT), hours)
        assert names.to_pylist() == ["web", "db", "net", "net"]

    def test_a_vpc_s_own_rule_goes_first_in_its_hours_alone(self):
        network = ipaddress.ip_network("10.0.0.0/8")
        rules = AppMap([Rule(network, "all"), Rule(network, "own", "vpc-1", 10, 20)])
        assert [app_of(rules, "10.0.0.1", "vpc-1", hour) for hour in (9, 10, 19, 20)] == ["all", "own", "own", "all"]

    @pytest.mark.parametrize("time", ["2026-11-24T10", "2026-11-24 10:59:59", "2026-11-24T12:30:00+02:00", "498754"])
    def test_a_time_means_the_hour_that_it_is_in(self, load, time):
        apps = load(f"cidr,app,from\n10.0.0.5,web,{time}\n")
        assert [app_of(apps, "10.0.0.5", hour=hour) for hour in (498_753, 498_754)] == ["10.0.0.5", "web"]

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.tuples(st.integers(24, 32), st.integers(1, 9), st.integers(1, 5)), max_size=4), st.integers(1, 15))
    def test_it_agrees_with_a_search_through_all_rules_of_the_hour(self, spans, hour):
        rules, taken = [], set()
        for number, (length, first, hours) in enumerate(spans):
            if not taken & {(length, at) for at in range(first, first + hours)}:
                taken |= {(length, at) for at in range(first, first + hours)}
                network = ipaddress.ip_network(("10.0.0.0", length))
                rules.append(Rule(network, f"app-{number}", None, first, first + hours))
        held = [(rule.network.prefixlen, rule.app) for rule in rules if rule.first <= hour < rule.until]
        assert app_of(AppMap(rules), "10.0.0.0", hour=hour) == (max(held)[1] if held else "10.0.0.0")


class TestLogged:
    def logged(self, tmp_path, *rows):
        (tmp_path / "apps.csv").write_text("\n".join(["cidr,app,logged", *rows]))
        return logged_networks(tmp_path / "apps.csv")

    def test_the_networks_that_are_called_so_are_logged(self, tmp_path):
        rows = ["10.0.0.0/8,a,yes", "10.1.0.0/16,b,", "192.168.0.0/16,c,no", "fd00::/8,d,yes"]
        assert self.logged(tmp_path, *rows) == ("10.0.0.0/8", "fd00::/8")

    def test_the_longest_prefix_has_the_last_word(self, tmp_path):
        found = self.logged(tmp_path, "10.0.0.0/30,a,yes", "10.0.0.0/31,b,no", "10.0.0.1,c,yes")
        assert found == ("10.0.0.1/32", "10.0.0.2/31")

    @settings(deadline=None, max_examples=60)
    @given(st.dictionaries(st.tuples(st.integers(28, 32), st.integers(0, 15)), st.booleans(), max_size=8))
    def test_each_address_is_logged_as_the_longest_prefix_that_holds_it_says(self, given):
        said = {ipaddress.ip_network((f"10.0.0.{last}", length), strict=False): it for (length, last), it in given.items()}
        with TemporaryDirectory() as folder:
            found = self.logged(Path(folder), *(f"{network},a,{'yes' if it else 'no'}" for network, it in said.items()))
        for address in ipaddress.ip_network("10.0.0.0/28"):
            held = [network for network in said if address in network]
            expected = bool(held) and said[max(held, key=lambda network: network.prefixlen)]
            assert any(address in ipaddress.ip_network(network) for network in found) is expected

    def test_a_run_takes_them_as_if_they_were_given_as_an_option(self, tmp_path):
        apps = tmp_path / "apps.csv"
        apps.write_text("cidr,app,logged\n10.0.0.0/8,a,yes\n")
        assert resolved(ReadOptions(apps=apps, logged=("fd00::/8",))).logged == ("10.0.0.0/8", "fd00::/8")
        assert resolved(ReadOptions(apps=apps, both_ends="count")).logged == ()
        assert resolved(resolved(ReadOptions(apps=apps))) == resolved(ReadOptions(apps=apps))
