"""The official scorers and lmms-eval, run from checkouts that the user names; none of their code lies here.

Only the function that is needed is taken out of a file, so that its other imports (torch, a server's client) need
not be installed. Used by compare_extraction.py and compare_official.py.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import io
import json
import re
import subprocess
import sys
import tempfile
import types
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

CHECKOUTS = {
    "video-mme": ("thanku-all/parse_answer at afd52cf", "eval_your_results.py"),
    "video-mme-first": ("thanku-all/parse_answer at 0379c42, its first revision", "eval_your_results.py"),
    "lvbench": ("THUDM/LVBench", "lvbench/metrics/compute_accuracy.py"),
    "mlvu": ("JUNJIE99/MLVU", "evaluation/multiple_choice_evaluation/choice_bench.py"),
    "videohallucer": ("patrick-tssn/VideoHallucer", "evaluations/evaluation_utils.py"),
    "llava": ("haotian-liu/LLaVA, for ScienceQA", "llava/eval/eval_science_qa.py"),
    "nextqa": ("doc-doc/NExT-QA", "eval_mc.py"),
    "lmms-eval": ("EvolvingLMMs-Lab/lmms-eval", "lmms_eval/tasks/_task_utils/mcq_extract.py"),
}
"""Option of the scripts -> what to check out, and the file in it."""


def add_options(parser: argparse.ArgumentParser, *options: str) -> None:
    """Options that take the folder of a checkout, named after `CHECKOUTS`."""
    for option in options:
        what, _ = CHECKOUTS[option.removeprefix("--")]
        parser.add_argument(option, type=Path, metavar="FOLDER", help=f"checkout of {what}")


def given(options: argparse.Namespace) -> dict[str, Path]:
    """The files of the checkouts that were named; one that is not there ends the program with a line."""
    files = {}
    for name, (what, file) in CHECKOUTS.items():
        folder = getattr(options, name.replace("-", "_"), None)
        if folder is not None:
            files[name] = folder / file
            if not files[name].is_file():
                sys.exit(f"--{name} {folder}: no {file}; give a checkout of {what}")
    return files


def function(file: Path, name: str, **names: Any) -> Callable[..., Any]:
    """One function of a Python file with the modules that it uses, without running the rest of the file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    wanted = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    constants = [node for node in tree.body if isinstance(node, ast.Assign) and _is_constant(node)]
    if not wanted:
        sys.exit(f"{file}: no function {name}; its revision differs from the one that this script knows")
    space = {"re": re, "json": json, **names}
    annotations = ast.parse("from __future__ import annotations").body
    exec(compile(ast.Module([*annotations, *constants, *wanted], []), str(file), "exec"), space)
    return space[name]


def module(file: Path, name: str) -> types.ModuleType:
    """A Python file as a module; what lies beside it can be imported by it."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(file.parent))
    return loaded


def video_mme_reader(file: Path) -> Callable[[str], str | None]:
    """Video-MME's extraction: a letter or None."""
    extract = function(file, "extract_characters_regex")
    return lambda reply: extract(reply) or None


def mlvu_reader(file: Path) -> Callable[[str], str | None]:
    """MLVU's check, asked with every letter as the right one."""
    check = function(file, "check_ans")
    return lambda reply: next((letter for letter in "ABCDEF" if check(reply, f"({letter}) text")), None)


def lmms_eval_reader(file: Path) -> Callable[[str, int], str | None]:
    """lmms-eval's shared extraction with as many choices as the question has."""
    extract = module(file, "mcq_extract").extract_mcq_answer
    return lambda reply, count: extract(reply, choices=list("ABCDEF"[:count])) or None


def without_thoughts(file: Path) -> Callable[[str], str]:
    """lmms-eval's filter for thoughts, which a task may switch on (`auto_strip_thinking`)."""
    strip = module(file.parents[3] / "lmms_eval/api/reasoning.py", "reasoning").strip_reasoning_tags
    return lambda reply: strip(reply, [["<think>", "</think>"], ["<thinking>", "</thinking>"]])


def scienceqa_letters(file: Path, replies: Sequence[str], counts: Sequence[int]) -> list[str | None]:
    """LLaVA's script for ScienceQA run over replies; `counts`: options of each question."""
    problems = {str(i): {"choices": ["x"] * count, "answer": 0} for i, count in enumerate(counts)}
    rows = {str(i): reply for i, reply in enumerate(replies)}
    results = run_scienceqa(file, problems, rows)["results"]
    return ["ABCDE"[results[name]] if results[name] >= 0 else None for name in problems]


def run_scienceqa(file: Path, problems: Mapping[str, Any], replies: Mapping[str, str]) -> dict[str, Any]:
    """The result file of LLaVA's script on problems (id -> row) and replies by id; "<image>" stands in every prompt."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pid_splits.json").write_text(json.dumps({"test": list(problems)}))
        (folder / "problems.json").write_text(json.dumps(problems))
        lines = [json.dumps({"question_id": key, "text": text, "prompt": "<image>"}) for key, text in replies.items()]
        (folder / "answers.jsonl").write_text("\n".join(lines) + "\n")
        command = [sys.executable, file.resolve(), "--base-dir", folder, "--result-file", folder / "answers.jsonl"]
        command += ["--output-file", folder / "out.json", "--output-result", folder / "result.json"]
        subprocess.run([*map(str, command)], check=True, capture_output=True)
        return json.loads((folder / "result.json").read_text())


def run_video_mme(file: Path, videos: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Per cent by label and "Overall" over all durations, as Video-MME's script prints them (one decimal)."""
    official = module(file, "eval_your_results")
    with tempfile.TemporaryDirectory() as name:
        results = Path(name) / "results.json"
        results.write_text(json.dumps(list(videos)))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            official.eval_your_results(
                str(results),
                video_types=["short", "medium", "long"],
                skip_missing=True,
                return_sub_categories_accuracy=True,
                return_task_types_accuracy=True,
            )
    whole = printed.getvalue().rpartition("Evaluation on the entire dataset")[2]
    return {label: float(value) for label, value in re.findall(r"^(.+?):\s*([\d.]+)%$", whole, re.MULTILINE)}


def run_lvbench(file: Path, meta: Path, letters: Mapping[str, str]) -> dict[str, float]:
    """LVBench's accuracies by capability and "acc", of answers by question id; `jsonlines` is stood in for."""
    lines = types.SimpleNamespace(open=_JsonLines)
    compute = function(file, "compute_accuracy", jsonlines=lines, defaultdict=defaultdict)
    with tempfile.TemporaryDirectory() as name:
        answers = Path(name) / "answers.json"
        answers.write_text(json.dumps(letters))
        return compute(str(answers), str(meta))


def run_nextqa(file: Path, questions: Path, predictions: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """NExT-QA's accuracies by type, by kind ("causal" and so on) and over all ("Acc"), as printed (two decimals)."""
    official = module(file, "eval_mc")
    with tempfile.TemporaryDirectory() as name:
        results = Path(name) / "results.json"
        results.write_text(json.dumps(predictions))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            official.accuracy_metric(str(questions), str(results))
    names, values, overall = printed.getvalue().split("\n")[:3]
    titles = {title: key for key, title in official.map_name.items()}
    kinds = {"C": "causal", "T": "temporal", "D": "descriptive"}
    labels = [kinds.get(titles[title], titles[title]) for title in names.split("\t") if title]
    numbers = dict(zip(labels, map(float, values.split()), strict=True))
    return numbers | {"Acc": float(overall.removeprefix("Acc:"))}


class _JsonLines:
    """`jsonlines.open` as far as LVBench's script uses it."""

    def __init__(self, file: str):
        self._rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").split("\n") if line.strip()]

    def __enter__(self) -> list[Any]:
        return self._rows

    def __exit__(self, *_: object) -> None:
        pass


def _is_constant(node: ast.Assign) -> bool:
    """Whether an assignment only writes literals down."""
    with contextlib.suppress(ValueError):
        ast.literal_eval(node.value)
        return True
    return False
