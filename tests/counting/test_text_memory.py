"""What is kept of the text of a large file: one block, whose memory the next one takes."""

import weakref
from pathlib import Path

import pytest

from pipeline.counting import content, opened, pending
from pipeline.counting.count import Limits, count_group
from pipeline.counting.sources import Source
from pipeline.options import ReadOptions
from pipeline.syntax import jsonrecords
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.csvrecords import CsvBlock
from tests.formats.helpers import blocks_of

RAW = Path(__file__).parents[2] / "data" / "raw"
BLOCK_BYTES = 32 << 10
LOGS = {
    "canonical": "flows-2026-11-24.jsonl",
    "Google": "gcp/**/*.json",
    "Suricata": "suricata/*.json",
    "goflow2": "goflow2/*.json",
    "nfdump": "nfdump/*.ndjson",
    "OCSF": "ocsf/*.json",
    "pmacct": "pmacct/*.json",
}
LINES = {
    "CSV": ("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n", "498750,a,b,v,1,2\n"),
    "AWS text": ("version srcaddr dstaddr srcport dstport bytes start\n", "2 10.0.0.1 10.0.0.2 40000 443 7 1764000000\n"),
    "Zeek": ("", '{"ts":1764000000.5,"id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","orig_ip_bytes":5,"resp_ip_bytes":7}\n'),
}


@pytest.fixture
def blocks(monkeypatch):
    """Weak references to all blocks of text."""
    made = []

    def watched(init):
        def watched_init(self, *values, **named):
            init(self, *values, **named)
            made.append(weakref.ref(self))

        return watched_init

    for kind in (TextBlock, CsvBlock):
        monkeypatch.setattr(kind, "__init__", watched(kind.__init__))
    return made


@pytest.mark.parametrize("name", [*LOGS, *LINES])
def test_no_block_is_in_memory_when_another_one_is_read(tmp_path, monkeypatch, blocks, name):
    header, line = LINES[name] if name in LINES else ("", next(RAW.glob(LOGS[name])).read_text().partition("\n")[0] + "\n")
    path = tmp_path / "raw.json"
    path.write_text(header + line * (6 * BLOCK_BYTES // len(line)))
    alive, read = [], opened.DigestingFile.read

    def watched_read(self, size=-1):
        alive.append(sum(block() is not None for block in blocks))
        return read(self, size)

    monkeypatch.setattr(opened.DigestingFile, "read", watched_read)
    monkeypatch.setattr(content, "SMALL_BYTES", 0)  # nothing is read at once, or waits to be parsed with others
    monkeypatch.setattr(pending, "BLOCK_BYTES", 1)
    monkeypatch.setattr(jsonrecords, "_SMALL_BYTES", 0)
    with blocks_of(BLOCK_BYTES):
        count = count_group([Source.at(path)], ReadOptions(), Limits(1 << 26), str(tmp_path)).results[0]
    assert count.read > count.rejected == 0  # a row that may break a rule keeps its text for longer
    assert len(blocks) > 5
    assert set(alive) == {0}
