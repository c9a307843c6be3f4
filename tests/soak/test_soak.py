"""The mixed scenario: a few steps of it in the suite, ten minutes in `make soak`."""

import os
import shutil

import pytest

from tests.soak.__main__ import Soak

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def test_the_store_is_the_oracle_s_whatever_is_killed_lost_or_flipped(tmp_path):
    is_long = "FLOWLOG_SOAK" in os.environ
    result = Soak(tmp_path, seed=1).run(seconds=600 if is_long else 120, most=10**9 if is_long else 5)
    assert result["wrong"] == []
