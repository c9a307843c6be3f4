"""`flowlog diff`: what people and schedulers get."""

import json

import pytest


@pytest.fixture(autouse=True)
def _store(ingested, tmp_path, monkeypatch):
    ingested("web,db,v,90,10,498752", "web,old,v,500,0,498752", "a,b,v,1000000,0,498752", "web,db,v,95,10,498753",
             "web,odd,v,7,1,498753", "a,b,v,3000000,0,498753", "web,db,v,95,10,498754")  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWLOG_STORE", "store")


def test_a_table_has_the_changes_the_others_and_the_total(flowlog):
    done = flowlog("diff", "2026-11-24T08", "2026-11-24T09")
    assert done.code == 0
    assert done.out == (
        "kind      src_app  dest_app  vpc_id     before      after      change\n"
        "stepped   a        b         v       1,000,000  3,000,000  +2,000,000\n"
        "vanished  web      old       v             500          0        -500\n"
        "new       web      odd       v               0          8          +8\n"
        "other (1 pair)                             100        105          +5\n"
        "total (4 pairs)                      1,000,600  3,000,113  +1,999,513\n"
    )
    assert done.err.splitlines() == [
        "before   2026-11-24T08: 1 hour with totals",
        "after    2026-11-24T09: 1 hour with totals",
        "pairs    1 new, 1 vanished, 1 stepped, of 4",
    ]


def test_where_nothing_changed_there_is_a_total_all_the_same(flowlog):
    done = flowlog("diff", "498753", "498754", "--min-bytes", "1GB")
    assert [line.split()[0] for line in done.out.splitlines()] == ["kind", "other", "total"]


def test_a_program_gets_all_changes_and_figures_that_reconcile(flowlog):
    done = flowlog("diff", 498752, 498753, "--json", "--min-bytes", "1kB")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    assert json.loads(done.out) == {
        "before": {"ranges": [[498752, 498753]], "hours": 1},
        "after": {"ranges": [[498753, 498754]], "hours": 1},
        "per_hour": False,
        "other": {"pairs": 3, "before": 600, "after": 113, "change": -487},
        "total": {"pairs": 4, "before": 1000600, "after": 3000113, "change": 1999513},
        "changes": [
            {"kind": "stepped", "src_app": "a", "dest_app": "b", "vpc_id": "v", "before": 1000000, "after": 3000000, "change": 2000000}
        ],
    }  # fmt: skip


def test_a_long_list_is_cut_and_the_others_are_what_is_not_shown(flowlog, monkeypatch):
    monkeypatch.setattr("pipeline.cli.diff.PAGE_ROWS", 1)
    done = flowlog("diff", 498752, 498753)
    assert [line.split()[0] for line in done.out.splitlines()] == ["kind", "stepped", "other", "total"]
    assert "other (3 pairs)" in done.out
    assert "2 more changes: --json has all" in done.err
    assert len(json.loads(flowlog("diff", 498752, 498753, "--json").out)["changes"]) == 3


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 0),
        (["--fail-on-new"], 3),
        (["--fail-on-new", "--json"], 3),
        (["--fail-on-new", "--min-bytes", "9"], 0),  # what stepped and vanished is no new pair
    ],
)
def test_a_scheduler_is_told_of_new_pairs_by_the_exit_code(flowlog, options, code):
    assert flowlog("diff", 498752, 498753, *options).code == code


def test_a_day_is_compared_with_an_hour_by_the_hour_and_says_so(flowlog):
    done = flowlog("diff", "2026-11-24", "2026-11-24T10")
    assert "before   2026-11-24T00 to 2026-11-24T09 and 2026-11-24T11 to 2026-11-24T23: 2 hours with totals" in done.err
    assert "note     all figures are bytes an hour" in done.err
    assert json.loads(flowlog("diff", "2026-11-24", "2026-11-24T10", "--json").out)["per_hour"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["498752"], "Missing argument"),
        (["498752", "498760"], "flowlog: there are no totals of 2026-11-24T16 to compare"),
        (["498752", "498752"], "flowlog: nothing is left to compare with"),
        (["20261124", "498752"], "looks like a date: write 2026-11-24"),
        (["-1h", "-2h"], "flowlog: nothing is left to compare with"),
        (["498752", "498753", "--factor", "0"], "flowlog: the factor must be a number from 1 on, not 0.0"),
        (["498752", "498753", "--min-bytes", "much"], "flowlog: 'much' is no number of bytes"),
    ],
)
def test_what_cannot_be_compared_is_the_users_error(flowlog, arguments, sentence):
    done = flowlog("diff", *arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
