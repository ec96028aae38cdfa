"""The notebooks run from their first cell to their last, on what comes with the package."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(cell["execution_count"] for cell in code(notebook)), "commit it with its outputs"
    committed = [shown(cell) for cell in code(notebook)]
    options = {"timeout": 900, "kernel_name": "python3", "resources": {"metadata": {"path": str(tmp_path)}}}
    NotebookClient(notebook, **options).execute()
    assert [shown(cell) for cell in code(notebook)] == committed


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: nbformat.NotebookNode) -> list[str]:
    """The kinds of a cell's outputs, without what goes to stderr."""
    kinds = [output["output_type"] for output in cell["outputs"] if output.get("name") != "stderr"]
    return [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before or kind != "stream"]


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"quick_start", "own_model"}
