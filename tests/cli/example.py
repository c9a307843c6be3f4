"""What the tests of the command line share: the original's example, in several formats, and the commands."""

import json

import pandas as pd
import typer.main

from pipeline import cli
from pipeline.flowstore import FlowStore

COMMANDS = typer.main.get_command(cli.app).commands
READING = ["hours", "runs", "rejects", "verify"]  # and query, which needs an hour

EXAMPLE = [
    {"src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 300, "hour": 1},
    {"src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 200, "bytes_rx": 600, "hour": 1},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500, "hour": 1},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500, "hour": 2},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-1", "bytes_tx": 100, "bytes_rx": 500, "hour": 2},
]
ANSWERS = {
    1: [
        {"hour": 1, "src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500},
        {"hour": 1, "src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 300, "bytes_rx": 900},
    ],
    2: [
        {"hour": 2, "src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500},
        {"hour": 2, "src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-1", "bytes_tx": 100, "bytes_rx": 500},
    ],
    3: [],
}
WRITERS = {
    "array.json": lambda frame, path: path.write_text(json.dumps(frame.to_dict("records"), indent=1)),
    "lines.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "flows.csv": lambda frame, path: frame.to_csv(path, index=False),
    "flows.parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


def write_example(name, folder, frame=None):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[name](pd.DataFrame(EXAMPLE) if frame is None else frame, path)
    return path


def fill(folder):
    """Ingests the example and one more file, of whose two rows one is rejected."""
    (folder / "more.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,1,2,9\na,b,v,-1,2,9\n")
    store = FlowStore(folder / "data" / "store", create=True)
    for raw in (write_example("flows.csv", folder / "data" / "raw"), folder / "more.csv"):
        store.ingest([str(raw)])
