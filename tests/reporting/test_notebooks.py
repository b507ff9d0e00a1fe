"""Notebook sources: parameterised, short, without outputs; a run gives a page that needs no network."""

from pathlib import Path

import nbformat
import pytest
from score_files import LOADED, score_record

from dynfocus.config import load_config
from dynfocus.errors import UserError
from dynfocus.reporting.notebooks import execute

SOURCES = sorted(Path("notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_source_is_short_and_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert sum(len(cell.source.splitlines()) for cell in code) < 60
    (parameters,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert parameters.source == 'profile = "mini"\nroot = ""\nseed = None'
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    assert "papermill" not in notebook.metadata


def test_table_7_runs_and_opens_offline(scores):
    root = scores([score_record("msvd_qa", "dynfocus", 0, {"accuracy": 41.25, "score": 2.0}, judge="rule")])
    config = load_config([Path("config/mini.yaml")], [f"root={root}"])
    page = root / "results/notebooks/table_7.html"
    execute("table_7", config, root, root / "results/notebooks/table_7.ipynb", page)
    html = page.read_text(encoding="utf-8")
    assert "41.25" in html and "paper 67.90" in html
    assert not LOADED.search(html)
    for made in ("tables/table_7.csv", "tables/table_7.json", "figures/table_7_main.svg", "figures/table_7_main.pdf"):
        assert (root / "results" / made).stat().st_size > 0


def test_an_error_in_a_cell_names_notebook_and_line(tmp_path):
    cell = nbformat.v4.new_code_cell('value = 1\nraise ValueError("no such table")')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("profile = 1"), cell])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source = tmp_path / "broken.ipynb"
    nbformat.write(notebook, source)
    config = load_config([Path("config/mini.yaml")])
    with pytest.raises(
        UserError, match=r'broken.ipynb.*raise ValueError\("no such table"\).*ValueError: no such table'
    ):
        execute("broken", config, tmp_path, tmp_path / "out.ipynb", tmp_path / "out.html", notebook=source)
    assert not (tmp_path / "out.ipynb").exists() and not (tmp_path / "out.html").exists()


def test_an_item_without_a_notebook_is_named(tmp_path):
    config = load_config([Path("config/mini.yaml")])
    with pytest.raises(UserError, match="no notebook for the item table_77"):
        execute("table_77", config, tmp_path, tmp_path / "a.ipynb", tmp_path / "a.html")
