"""Texts and keys that collide by design: half a million of them took minutes as long as everybody knew the hash."""

import subprocess
import sys
from itertools import islice, product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.kernel.library import kernel
from pipeline.kernel.texts import Texts
from pipeline.kernel.totals import Totals
from tests.records import flows_of

ROOT = Path(__file__).parents[2]

INGEST = """
import sys
from pathlib import Path
from pipeline.kernel.library import kernel
kernel.set_hash_keys(bytes.fromhex(sys.argv[1]))
from pipeline.jobs.ingest import ingest
from pipeline.store.layout import Locations
ingest([sys.argv[2]], Locations(Path(sys.argv[3])))
"""


def colliding_names(count):
    """What a hash of 24 bytes without a key had in one place: it took `second ^ last << 1`."""
    for digits in islice(product(b"0123456789", repeat=8), count):
        yield (b"service-" + bytes(2 * digit for digit in digits) + bytes(digits)).decode()


def colliding_keys(names, slots):
    """What a hash of keys without a key had in one of so many slots, of all keys that so many names make."""
    ids = np.arange(names, dtype=np.uint64)
    dest, vpc = (grid.ravel() for grid in np.meshgrid(ids, ids, indexing="ij"))
    hour = (1 + 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9 % 2**64
    for src in range(names):
        x = np.uint64(hour ^ hour >> 31) + (np.uint64(src << 32) | dest)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(29)
        x = (x + vpc) * np.uint64(0xBF58476D1CE4E5B9)
        found = (x >> np.uint64(32)) % np.uint64(slots) == 0
        yield from ((src, int(d), int(v)) for d, v in zip(dest[found], vpc[found], strict=True))


def test_names_that_are_made_to_collide_are_as_quickly_found_as_others():
    names = Texts()
    names.codes_of(pa.array(list(colliding_names(20_000)), pa.string()))
    assert len(names) == 20_000
    assert kernel.texts_detours(names.handle) < 20_000  # where all collide, 200 million


@pytest.mark.parametrize("length", [3, 8, 12, 16, 20, 24, 25, 32, 40, 100])
@pytest.mark.parametrize("place", ["start", "end"])
def test_names_of_any_length_spread_over_the_table(length, place):
    pad = "-" * (length - 3)
    texts = [pad + f"{i:03x}" if place == "end" else f"{i:03x}" + pad for i in range(4096)]
    names = Texts()
    names.codes_of(pa.array(texts, pa.string()))
    # Of 3,000 random keys, 20 gave more than one a name, and the worst one 21; where all names collide, there are 2,048.
    assert kernel.texts_detours(names.handle) < 64 * 4096


def test_keys_that_are_made_to_collide_are_as_quickly_found_as_others():
    names = [f"n{i}" for i in range(200)]
    keys = list(colliding_keys(len(names), slots=4096))
    assert len(keys) > 1500
    totals = Totals()
    totals.add(flows_of([(1, name, name, name, 0, 0) for name in names]))  # the names get their numbers
    totals.add(flows_of([(1, *(names[code] for code in key), 0, 0) for key in keys]))
    rows = len(totals)
    assert rows >= len(keys)
    assert kernel.totals_detours(totals._handle) < rows  # where all collide, more than 200,000


def test_keys_of_which_each_app_meets_each_other_spread_under_any_keys_of_the_hashes():
    script = (
        "import random; from pipeline.kernel.library import kernel; from pipeline.kernel.totals import Totals;"
        "from tests.records import flows_of;"
        "flows = flows_of([(1, f'a{i % 150}', f'a{i // 150}', 'v', 1, 1) for i in range(150 * 150)]); detours = [];"
        "generator = random.Random(1)\n"
        "for _ in range(200):\n"
        "    kernel.set_hash_keys(generator.randbytes(32)); totals = Totals(); totals.add(flows)\n"
        "    detours.append(kernel.totals_detours(totals._handle))\n"
        "print(max(detours))"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT)
    assert int(run.stdout) < 150 * 150 // 4


def test_the_store_does_not_depend_on_the_keys_of_the_hashes(tmp_path):
    rows = [
        f"{1 + i % 7},{a},{b},vpc,{i},1\n" for i, (a, b) in enumerate(zip(colliding_names(500), "abcde" * 100, strict=True))
    ]
    raw = tmp_path / "a.csv"
    raw.write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n" + "".join(rows))
    stores = []
    for keys in ("00" * 32, "17" * 16 + "e9" * 16):
        store = tmp_path / keys
        subprocess.run([sys.executable, "-c", INGEST, keys, str(raw), str(store)], check=True, cwd=ROOT)
        stores.append({path.relative_to(store): path.read_bytes() for path in (store / "flows").rglob("*.parquet")})
    assert len(stores[0]) == 7
    assert stores[0] == stores[1]


def test_each_process_has_keys_of_its_own():
    """How many names of a full table lie beside their places says nothing, but the same twice in ten processes would."""
    script = (
        "import pyarrow as pa; from pipeline.kernel.library import kernel; from pipeline.kernel.texts import Texts;"
        "names = Texts(); names.codes_of(pa.array([str(i) for i in range(60_000)])); print(kernel.texts_detours(names.handle))"
    )
    runs = [subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT) for _ in range(4)]
    assert len({run.stdout for run in runs}) > 1
