"""The tutorial notebook, run in a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "notebook.ipynb"


@pytest.mark.slow
@pytest.mark.local_model
@pytest.mark.filterwarnings("default")  # Jupyter's own
@pytest.mark.usefixtures("local_model")
def test_the_notebook_runs_and_shows_html(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]

    assert not [output for output in outputs if output.output_type == "error"]
    assert any('class="rollouts"' in html for html in shown)
    assert any('class="injected"' in html for html in shown)
    assert any("<table" in html for html in shown)
