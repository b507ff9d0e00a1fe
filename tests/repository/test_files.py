"""What the repository's files must be: complete, finished, without secrets or places, small, and of one version."""

from __future__ import annotations

import ast
import configparser
import json
import re
import socket
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import dynfocus

REQUIRED = [
    "README.md",
    "LICENSE",
    "CITATION.cff",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "requirements-cpu.lock",
    "environment.yml",
    "environment-cpu.yml",
    "containers/Dockerfile",
    "containers/dynfocus.def",
    ".ci/run",
    ".github/workflows/docs.yml",
    ".github/workflows/test.yml",
    ".pre-commit-config.yaml",
    ".snakemake-workflow-catalog.yml",
    "config/README.md",
    "mkdocs.yml",
    "src/dynfocus/py.typed",
    "config/paper.yaml",
    "config/mini.yaml",
    "config/smoke.yaml",
    "config/experiments.yaml",
    "config/schema.json",
    "docs/README.md",
    "docs/configuration.md",
    "docs/deviations.md",
    "workflow/Snakefile",
    "workflow/profiles/default/config.yaml",
]
LARGEST = 1 << 20
"""Bytes of a tracked file; what is larger belongs into DVC."""

# Written so that this file does not find itself.
UNFINISHED = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X|T[B]D|H[A]CK|lorem[ ]ipsum|coming[ ]soon)\b", re.I)
SECRETS = {
    "a cloud key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a code host's token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}\b"),
    "a model hub's token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "an API key": re.compile(r"\bsk-[A-Za-z0-9_-]{24,}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
}
PLACES = {
    "somebody's folder": re.compile(r"(?<![\w.}>:/-])/(?:home|root|Users|work|scratch|mnt|opt)/[\w.]+"),
    "a drive": re.compile(r"\b[A-Z]:\\\\?\w"),
    "a package registry": re.compile(
        r"\b(?:pypi\.org|pythonhosted\.org|download\.pytorch\.org|anaconda\.(?:org|com))\b"
    ),
}


def test_required_files_exist(repository, files):
    missing = [name for name in REQUIRED if Path(name) not in files]
    assert not missing, f"missing, or ignored by git: {missing}"
    assert (repository / ".ci" / "run").stat().st_mode & stat.S_IXUSR, "run `chmod +x .ci/run`"


def test_nothing_is_left_unfinished(texts):
    found = [f"{file}: {match[0]}" for file, text in texts.items() for match in UNFINISHED.finditer(text)]
    assert not found, f"finish or remove: {found}"


@pytest.mark.parametrize("word", ["to" + "do", "FIX" + "ME: later", "lorem " + "ipsum"])
def test_unfinished_text_is_recognised(word):
    assert UNFINISHED.search(f"# {word}")


def test_no_file_holds_a_secret(texts):
    found = [f"{file}: {what}" for file, text in texts.items() for what, form in SECRETS.items() if form.search(text)]
    assert not found, f"remove it, and make it invalid where it was issued: {found}"


def test_no_file_names_a_place_on_one_machine(texts):
    forms = PLACES | {"this machine's name": re.compile(rf"\b{re.escape(socket.gethostname())}\b")}
    found = [
        f"{file}: {match[0]} ({what})"
        for file, text in texts.items()
        for what, form in forms.items()
        for match in form.finditer(text)
    ]
    assert not found, f"use a path relative to the repository or to the profile's root: {found}"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("see /ho" + "me/me/data", PLACES["somebody's folder"]),
        ('"/wo' + 'rk/films"', PLACES["somebody's folder"]),
        ("C:" + "\\data", PLACES["a drive"]),
        ("https://py" + "pi.org/simple", PLACES["a package registry"]),
        ("key: AK" + "IA" + "0" * 16, SECRETS["a cloud key"]),
        ("h" + "f_" + "a" * 32, SECRETS["a model hub's token"]),
        ("s" + "k-" + "a" * 32, SECRETS["an API key"]),
    ],
)
def test_places_and_secrets_are_recognised(text, form):
    assert form.search(text)


def test_large_files_are_in_dvc(repository, files):
    stores = [*dvc_stores(repository)]
    large = [
        f"{file} ({size / 1e6:.1f} MB)"
        for file in files
        if (size := (repository / file).stat().st_size) > LARGEST and not any(store in file.parents for store in stores)
    ]
    assert not large, f"run `dvc add` on it instead of `git add`: {large}"


def dvc_stores(repository: Path) -> list[Path]:
    """Folders of the repository that are DVC remotes."""
    file = repository / ".dvc" / "config"
    if not file.is_file():
        return []
    parser = configparser.ConfigParser()
    parser.read(file)
    urls = [parser[section]["url"] for section in parser.sections() if "url" in parser[section]]
    folders = [(file.parent / url).resolve() for url in urls if "://" not in url]
    return [folder.relative_to(repository) for folder in folders if folder.is_relative_to(repository)]


def test_versions_are_equal_everywhere(repository):
    stated = {
        "pyproject.toml": tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"],
        "CITATION.cff": str(yaml.safe_load((repository / "CITATION.cff").read_text())["version"]),
        "CHANGELOG.md": re.search(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), flags=re.M)[1],
        "src/dynfocus/__init__.py": dynfocus.__version__,
    }
    assert len(set(stated.values())) == 1, f"write one version in all of them, then `make lock`: {stated}"


def test_the_hooks_before_a_commit_pass(repository, files):
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())
    kinds = {"python": r"\.py$"}
    for hook in (hook for repo in config["repos"] for hook in repo["hooks"]):
        chosen = hook.get("files") or kinds[hook["types"][0]]
        touched = [str(file) for file in files if re.search(chosen, file.as_posix())]
        command = [Path(sys.executable).parent / hook["entry"].split()[0], *hook["entry"].split()[1:], *touched]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
        assert touched and done.returncode == 0, f"{hook['id']}: {done.stdout}{done.stderr}"


def test_notebooks_are_stored_without_what_a_run_leaves(repository, files):
    for file in files:
        if file.suffix != ".ipynb":
            continue
        notebook = json.loads((repository / file).read_text())
        repair = f"{file}: run `.venv/bin/nbstripout --keep-id {file}`"
        for cell in notebook["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, repair
            assert set(cell["metadata"]) <= {"tags"}, repair
        assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}, repair
        assert notebook["metadata"]["kernelspec"]["name"] == "python3", f"{file}: the kernel must be python3"


def test_every_notebook_belongs_to_an_item_or_is_the_tutorial(repository, files):
    items = yaml.safe_load((repository / "config" / "experiments.yaml").read_text())["items"].values()
    wanted = {Path("notebooks") / name for name in ("tutorial.ipynb", *(item["notebook"] for item in items))}
    assert wanted == {file for file in files if file.suffix == ".ipynb"}, "config/experiments.yaml against notebooks/"


def test_every_module_says_what_it_is(texts):
    silent = [
        str(file)
        for file, text in texts.items()
        if file.suffix == ".py" and text.strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert not silent, f"open with a docstring of a line or more: {silent}"


def test_readme_shows_the_tree_as_it_is(repository, files):
    shown = tree_of((repository / "README.md").read_text())
    package = Path("src/dynfocus")
    folders = {f"{file.parts[0]}/" for file in files if len(file.parts) > 1 and not file.parts[0].startswith(".")}
    inside = {file.relative_to(package).parts for file in files if package in file.parents}
    inside = {parts[0] + "/" * (len(parts) > 1) for parts in inside if not parts[0].startswith("__")}
    actual = (folders - {"src/"}) | {f"src/dynfocus/{name}" for name in inside} | {"src/dynfocus/"}
    assert shown == actual, (
        f"README.md, Where things are: remove {sorted(shown - actual)}, describe {sorted(actual - shown)}"
    )


def tree_of(readme: str) -> set[str]:
    """Paths of the tree under the heading `Where things are`; names indented deeper lie in src/dynfocus."""
    section = readme.split("## Where things are", 1)[1].split("\n## ", 1)[0]
    entries = re.findall(r"^    ( *)([\w./]+)(?: {2,}\S|$)", section, flags=re.M)
    return {f"src/dynfocus/{name}" if indent else name for indent, name in entries}
