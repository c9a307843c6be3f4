"""The notebook: its cells run on the sample, it is kept without outputs, and its page shows the cells that it has."""

import re
from pathlib import Path

import pytest

from pipeline.flowstore import FlowStore
from pipeline.options import IngestOptions

WHY = "it is not installed; the extra notebook has it"
nbclient = pytest.importorskip("nbclient", reason=WHY)
nbformat = pytest.importorskip("nbformat", reason=WHY)
pytest.importorskip("ipykernel", reason=WHY)
pytest.importorskip("matplotlib", reason=WHY)

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "tour.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


# Jupyter's client starts an event loop that Python's next version wants started otherwise, and leaves its sockets to be collected.
@pytest.mark.filterwarnings("ignore")
def test_it_runs_on_the_sample(notebook, tmp_path, monkeypatch):
    FlowStore(tmp_path / "store", create=True).ingest(
        [str(ROOT / "data" / "raw")], IngestOptions(apps=ROOT / "data" / "apps.csv")
    )
    monkeypatch.setenv("FLOWLOG_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    kernel = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    kernel.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert [output for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []


def test_what_the_page_on_notebooks_shows_runs_on_the_sample_and_its_comparison_finds_something(tmp_path, monkeypatch):
    pytest.importorskip("polars", reason=WHY)
    FlowStore(tmp_path / "data" / "store", create=True).ingest(
        [str(ROOT / "data" / "raw")], IngestOptions(apps=ROOT / "data" / "apps.csv")
    )
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8"), re.DOTALL)
    *statements, comparison = "".join(shown).splitlines()
    names = {}
    exec("\n".join(statements), names)
    assert comparison.startswith("store.diff(")
    assert len(eval(comparison, names)) > 0


def test_it_is_kept_without_outputs(notebook):
    assert all(cell.execution_count is None and cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")


def test_its_page_is_made_of_its_cells(notebook):
    page = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    assert [cell.source for cell in notebook.cells if cell.source not in page] == [], "make tour makes the page anew"
