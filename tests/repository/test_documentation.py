"""Whatever the documentation mentions exists: commands, options, profiles, runs, settings, modules, paths, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from commands import OUTPUTS, is_setting, known_module, understood
from documents import Document, words_of

from dynfocus.config import load_config
from dynfocus.config.schema import Config
from dynfocus.evaluation.evidence import STORED, read_evidence
from dynfocus.paper.register import OWN_CHECK
from dynfocus.reporting.claims import count_verdicts, judge_claims
from dynfocus.steps.claims import wanted_settings
from dynfocus.steps.jobs import Jobs

INDEX = Path("docs/README.md")
SECTIONS = {name for name, field in Config.model_fields.items() if isinstance(field.annotation, type)} - {
    "profile",
    "root",
    "experiments",
}


@pytest.fixture(autouse=True)
def in_the_repository(repository, monkeypatch):
    monkeypatch.chdir(repository)


def written_by(document: Document) -> frozenset[str]:
    """Files that a page writes, the runs, items and sets it adds, and words in capitals, which stand for others."""
    names = {word for words in document.commands() for word in words if re.fullmatch("[A-Z]+", word)}
    for block in document.blocks:
        names |= {name for name in (block.option("file"), block.option("merge")) if name}
        if block.option("merge") == "config/experiments.yaml":
            names |= {name for section in yaml.safe_load(block.body).values() for name in section}
        if block.language == "diff":
            names |= set(re.findall(r'^\+.*"([a-z_]+)"', block.body, flags=re.M))
    return frozenset(names - {"config/experiments.yaml"})


def test_every_command_is_understood(documents):
    wrong = [
        f"{document.file}: {' '.join(words)}: {problem}"
        for document in documents
        for words in document.commands()
        if (problem := understood(words, written_by(document)))
    ]
    assert not wrong, "correct the page or the program:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    [
        "dynfocus train-instructions --run dynfocus",
        "dynfocus train-instruction --run dynfocis",
        "dynfocus train-instruction --run dynfocus --sed 1",
        "dynfocus train-instruction --run dynfocus --seed one",
        "dynfocus train-instruction --run dynfocus --set alignment.learn_rate=1",
        "dynfocus resolve-config --config config/minni.yaml",
        "dynfocus prepare-data --dataset msvd",
        "dynfocus execute-notebook --item table_77",
        "snakemake --dryrunn",
        "snakemake --configfile config/minni.yaml",
        "snakemake --config sed=1",
        "snakemake --workflow-profile workflow/profiles/none",
        "snakemake prepare_everything",
        "make everything",
        "make reproduce CONFIG=config/minni.yaml",
        "make reproduce PROFILE=config/mini.yaml",
        "python -m dynfocus.network.none",
        "python speed/measure_kernels.py --pictures 3",
        "papermill notebooks/table_77.ipynb out.ipynb",
        "dvc pul",
        "dvc pull nothing.dvc",
        "docker build --file containers/Dockerfil .",
    ],
)
def test_command_that_does_not_exist_is_noticed(line):
    assert understood(words_of(line))


def test_every_link_leads_somewhere(documents):
    anchors = {document.file: document.anchors for document in documents}
    broken = []
    for document in documents:
        for link in document.links:
            if re.match(r"^(https?|mailto):", link):
                continue
            target, _, anchor = link.partition("#")
            file = Path(*parts(document.file.parent / target)) if target else document.file
            if not file.exists() or (anchor and anchor not in anchors.get(file, set())):
                broken.append(f"{document.file}: {link}")
    assert not broken, f"correct the links: {broken}"


def parts(path: Path) -> list[str]:
    """The parts of a relative path, `..` resolved."""
    kept: list[str] = []
    for part in path.parts:
        if part == "..":
            kept.pop()
        else:
            kept.append(part)
    return kept or ["."]


def test_every_page_is_in_the_index(documents):
    pages = {document.file: document for document in documents}
    reached, waiting = set(), [INDEX]
    while waiting:
        page = waiting.pop()
        if page in reached or page not in pages:
            continue
        reached.add(page)
        waiting += [
            Path(*parts(page.parent / link.partition("#")[0])) for link in pages[page].links if "://" not in link
        ]
    lost = [str(page) for page in pages if page.parts[0] == "docs" and page not in reached]
    assert not lost, f"link from {INDEX}, or from a page that it links: {lost}"


def test_every_path_exists(documents, files):
    folders = {file.parts[0] for file in files if len(file.parts) > 1}
    lost = []
    for document in documents:
        written = written_by(document)
        for span in document.spans:
            path = span.rstrip("/")
            if not re.fullmatch(r"[\w.{}*/-]+", path) or path in written or f"{path}/".startswith(OUTPUTS):
                continue
            if path.split("/")[0] not in folders and not re.fullmatch(r"[\w-]+\.(md|lock|toml|cff|smk)", path):
                continue
            pattern = re.sub(r"\{[^}]*\}", "*", path)
            if not any(list(root.glob(pattern)) for root in (Path(), document.file.parent, Path("workflow/rules"))):
                lost.append(f"{document.file}: {span}")
    assert not lost, f"correct the paths: {lost}"


def is_key(span: str) -> bool:
    """Whether a span looks like a key of the configuration: its section exists, and it is no file of DVC."""
    return span.split(".")[0] in SECTIONS and not span.endswith(".dvc")


def test_every_setting_and_module_exists(documents):
    wrong = []
    for document in documents:
        for span in document.spans:
            if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", span) and is_key(span):
                known = is_setting(span)
            elif re.fullmatch(r"dynfocus(\.\w+)+", span) and not (document.file.parent / span).exists():
                known = known_module(span)
            else:
                continue
            if not known:
                wrong.append(f"{document.file}: {span}")
    assert not wrong, f"no such setting, module or name: {wrong}"


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_the_seeds_answered_is_that_of_the_evidence(kinds_by_seed):
    """The table by kind of question, but for what the LLM is told, and the sentence of README.md."""
    made = kinds_by_seed.table(Jobs.load(load_config([Path("config/mini.yaml")]))).splitlines()
    page = Path("docs/mini_world.md").read_text(encoding="utf-8").splitlines()
    place = page.index(made[0])
    for line, shown in zip(made, page[place:], strict=False):
        wanted, found = cells_of(line), cells_of(shown)
        assert wanted[:3] == found[:3] and wanted[4:] == found[4:], f"run scripts/kinds_by_seed.py: {wanted[0]}"
    readme = " ".join(Path("README.md").read_text(encoding="utf-8").split())
    for seeds in cells_of(made[-1])[4:7]:
        *firsts, last = seeds.split()
        assert f"{', '.join(firsts)} and {last}" in readme


def test_the_lead_says_what_the_evidence_says():
    """Differences and verdicts in README.md are those that the claims have on the evidence that it carries."""
    jobs = Jobs.load(load_config([Path("config/mini.yaml")]))
    outcomes = judge_claims(read_evidence(STORED / "mini").fitting(wanted_settings(jobs)))
    readme = " ".join(Path("README.md").read_text(encoding="utf-8").split())
    by_id = {outcome.id: outcome for outcome in outcomes}
    for name in ("dpe_cce_over_two_tokens", "dynfocus_over_llama_vid.msvd", "dynfocus_over_flash_vstream.msvd"):
        found = by_id[f"structure.{name}"]
        assert f"{found.difference:.0f} points [{found.low:.0f}, {found.high:.0f}]" in readme, name
    counts = count_verdicts(outcome for outcome in outcomes if outcome.source != OWN_CHECK)
    assert f"Of the paper's {sum(counts.values())} claims {spelled(counts['replicates'])} replicate" in readme
    assert f"{spelled(counts['contradicted'])} is contradicted" in readme
    assert f"{spelled(counts['undecided'])} are undecided" in readme


def spelled(number: int) -> str:
    """A number as it stands in a sentence."""
    words = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    return words[number] if number < len(words) else str(number)
