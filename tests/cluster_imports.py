"""What `cluster` has imported before it forks."""

import pandas as pd  # noqa: F401 - see conftest.py

# isort: split
import distributed  # noqa: F401

import tests.cluster  # noqa: F401
from pipeline.counting import cluster, validation  # noqa: F401
from pipeline.jobs import commit, count, ingest, replace  # noqa: F401

validation.prepare()
