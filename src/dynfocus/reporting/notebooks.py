"""Run a report item's notebook with papermill and turn it into a page that opens offline."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.reporting.page import page
from dynfocus.reporting.verdicts import scale_obstacle

NOTEBOOKS = Path("notebooks")
KERNEL = "python3"


def execute(
    item: str,
    config: Config,
    root: Path,
    out_ipynb: Path,
    out_html: Path,
    seed: int | None = None,
    notebook: Path | None = None,
) -> None:
    """Run `notebooks/{item}.ipynb` and write the executed notebook and its HTML.

    Raises UserError when the notebook is missing, or with the last line of the cell that failed; the
    notebook as far as it ran is then at `{item}.failed.ipynb`, so that no half page counts as made.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    source = notebook or NOTEBOOKS / f"{item}.ipynb"
    if not source.exists():
        raise UserError(f"{source}: no notebook for the item {item}; add it, or take the item out of `items`")
    for path in (out_ipynb, out_html):
        path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.WARNING)
    partial = out_ipynb.with_suffix(".failed.ipynb")
    try:
        papermill.execute_notebook(
            source,
            partial,
            parameters={"profile": config.profile, "root": str(root), "seed": seed},
            kernel_name=KERNEL,
            progress_bar=False,
        )
    except PapermillExecutionError as error:
        last = next((line for line in reversed(error.source.splitlines()) if line.strip()), "").strip()
        raise UserError(
            f"{source}, cell {error.exec_count} (`{last}`): {error.ename}: {error.evalue}; see {partial}"
        ) from error
    _warnings_to_the_log(partial)
    partial.replace(out_ipynb)
    out_html.write_text(to_html(out_ipynb, item, config), encoding="utf-8")


def _warnings_to_the_log(executed: Path) -> None:
    """What libraries warned names folders of this machine: it is of this job's log, not of what is published."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            warned = [output for output in cell.outputs if output.get("name") == "stderr"]
            sys.stderr.writelines(output.text for output in warned)
            cell.outputs = [output for output in cell.outputs if output not in warned]
    nbformat.write(notebook, executed)


def to_html(executed: Path, item: str, config: Config) -> str:
    """The executed notebook as one page without scripts, outside resources, and the cells that say where it ran."""
    import nbformat
    from markupsafe import Markup
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import TagRemovePreprocessor

    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    given = TagRemovePreprocessor(remove_cell_tags={"parameters", "injected-parameters"})
    exporter.register_preprocessor(given, enabled=True)
    body, _ = exporter.from_notebook_node(nbformat.read(executed, as_version=4))
    return page(
        "notebook.html.j2",
        title=item,
        profile=config.profile,
        obstacle=scale_obstacle(config),
        body=Markup(body),
    )
