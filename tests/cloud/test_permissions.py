"""The least permissions that `docs/buckets.md` names, as far as SeaweedFS can tell them apart."""

import os

from tests.cloud import servers
from tests.cloud.conftest import of_seaweed
from tests.cloud.machine import Machine

IS_SOAK = "FLOWLOG_SOAK" in os.environ
LOOKS = (["query"], ["verify"], ["hours"], ["runs"], ["rejects"])[: None if IS_SOAK else 2]


def test_a_driver_needs_to_list_read_and_write_and_a_reader_to_list_and_read(seaweed, settings, tmp_path):
    servers.make_bucket(seaweed["filer"], "least")  # the bucket that the identities are about
    raw = tmp_path / "raw.csv"
    raw.write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,a,b,v,1,1\n0,a,b,v,1,1\n")
    with Machine(tmp_path / "machine", of_seaweed(seaweed["port"])) as machine:

        def run(user, *arguments):
            return machine.run(*arguments, "--store", "s3://least/flowlog", **of_seaweed(seaweed["port"], user))

        assert run("driver", "ingest", raw).code == 0
        for look in LOOKS:
            assert run("reader", *look).code == 0, look
        refused = run("reader", "forget", raw)
        assert (refused.code, "the credentials do not allow this request" in refused.output) == (5, True)
        assert "Traceback" not in refused.output
        assert run("stranger", "query").code == 5
        assert run("driver", "forget", raw).code == 0
