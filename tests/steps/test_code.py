"""Edit a line of a module: `why` names everything downstream and nothing else, and no job runs again by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from finished_run import REPORT, jobs_here

from dynfocus.artefacts.why import explain
from dynfocus.steps import code
from dynfocus.steps.perform import is_ready
from dynfocus.steps.table import name_of, needed

DOWNSTREAM = {
    "prompts.py": "data coverage backbones/llm backbones/qformer features alignment instruction answers verdicts "
    "scores notebooks report",
    "world/text.py": "data coverage backbones/llm backbones/qformer features alignment instruction answers verdicts "
    "scores notebooks report",
    "network/vision.py": "backbones/clip backbones/qformer features alignment instruction answers verdicts scores "
    "notebooks report",
    "features/store.py": "features alignment instruction answers verdicts scores notebooks report",
    "features/decode.py": "coverage features alignment instruction answers verdicts scores notebooks report",
    "evaluation/benchmarks/short_answer.py": "coverage/msvd_qa features/msvd_qa answers verdicts scores notebooks "
    "report",
    "evaluation/judges/prompts.py": "verdicts scores notebooks report",
    "network/topk.py": "alignment instruction answers verdicts scores notebooks report",
    "training/data.py": "alignment instruction answers verdicts scores notebooks report",
    "evaluation/statistics.py": "scores notebooks report",
    "reporting/tables.py": "notebooks report",
    "reporting/templates/report.html.j2": "notebooks report",
    "paper/data/cells.csv": "notebooks report",
}
"""Module -> the parts of the names of what it is behind, in the run of `finished_run`."""


@pytest.mark.parametrize("module", DOWNSTREAM)
def test_why_names_everything_downstream_of_an_edit_and_nothing_else(finished, edited, module):
    edited(module, "EDITED = 1")
    named = {line.split(": ")[0] for line in explain(finished) if "by other code" in line}
    steps = needed(finished, [REPORT])
    expected = {
        name
        for name in (name_of(finished, step) for step in steps)
        if any(f"/{part}" in f"/{name}" for part in DOWNSTREAM[module].split())
    }
    assert named == expected
    assert not any(is_ready(finished, step) for step in steps if step.keeps)


def test_a_comment_or_a_docstring_is_no_other_code(finished, edited):
    edited("prompts.py", "# a reason")
    assert not any("by other code" in line for line in explain(finished))


SOURCE = """
async def wait(a: int = 1, *b, c=None, **d) -> None:
    return f"{a!r:>{c}} of {b}" f"{d=}"
class Empty: pass
"""
SOURCE_HASH = "648cc4a744ef"


def test_the_hash_of_a_module_is_one_for_every_python(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "ROOT", tmp_path)
    (tmp_path / "sample.py").write_text(SOURCE)
    assert code.module_hash.__wrapped__(f"{code.PACKAGE}.sample") == SOURCE_HASH


def test_code_of_a_step_names_what_the_work_imports_and_no_other_room():
    names = code.closure(["dynfocus.evaluation.score"])
    assert "dynfocus.evaluation.statistics" in names and "dynfocus.evaluation.parsing" in names
    assert not [name for name in names if name.split(".")[1] in (*code.APART, "network", "training")]
    assert set(code.code_of(names)) == set(names)


def test_finding_code_imports_none_of_it():
    program = (
        "import sys; from dynfocus.steps.code import closure; "
        "closure(['dynfocus.training.stage', 'dynfocus.network']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_setting_that_decides_what_comes_out_is_in_the_manifest(finished):
    jobs = jobs_here()
    assert all(step.settings(jobs) is not None and step.modules(jobs) for step in needed(jobs, [REPORT]))
    assert Path("config/mini.yaml").is_file()
