"""The report: one offline page, with every gap shown and every number led back to its record."""

import json
import re
import shutil
from pathlib import Path

import pytest
from evidence_files import answers, finish_scores, jobs_of
from score_files import LOADED, score_record

from dynfocus.config import load_config
from dynfocus.evaluation.lines import write_lines
from dynfocus.evaluation.questions import Verdict
from dynfocus.evaluation.records import verdict_row
from dynfocus.reporting import report
from dynfocus.reporting.claims import add_evidence
from dynfocus.reporting.figures import curves
from dynfocus.reporting.report import headline, render
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, plain_table
from dynfocus.steps.layout import Layout
from dynfocus.steps.manifests import content_hash, record
from dynfocus.steps.table import JudgeAgain, JudgeAnswers


def config_of(root: Path, **changes):
    base = load_config([Path("config/mini.yaml")], [f"root={root}"])
    return base.model_copy(update={"items": ["all"], **changes})


def make_page(root: Path, **changes) -> str:
    config = config_of(root, **changes)
    session = Session(config, root)
    table = session.paper_table("table_5", "Clustering algorithms", heads=("Clustering",))
    session.save("table_5", "Clustering algorithms (Table 5)", [table, session.coverage("table_5")])
    render(config, root, root / "results/report.html")
    return (root / "results/report.html").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def carried(monkeypatch, tmp_path_factory) -> Path:
    """An empty folder in the place of the evidence that the repository carries."""
    folder = tmp_path_factory.mktemp("carried")
    monkeypatch.setattr(report, "STORED", folder)
    return folder


@pytest.fixture
def root(scores):
    return scores(
        [
            score_record("msvd_qa", "dynfocus", 0, {"accuracy": 47.25, "score": 2.5}, judge="rule"),
            score_record("msvd_qa", "blind", 0, {"accuracy": 17.5, "score": 1.0}, judge="rule", unjudged=2),
        ]
    )


def test_page_needs_no_other_file_and_no_network(root):
    assert not LOADED.search(make_page(root))


def test_page_says_that_it_is_mini(root):
    html = make_page(root)
    assert "Scale: mini." in html and "only directions are judged" in html


def test_items_without_results_are_gaps_with_their_name(root):
    html = make_page(root)
    assert "Not made: there is no results/tables/table_6.json" in html
    assert "Not made: there is no results/tables/table_5.json" not in html


def test_every_link_on_the_page_has_a_target(root):
    html = make_page(root)
    targets = set(re.findall(r'id="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= targets
    for file in re.findall(r'href="([^#"][^"]*)"', html):
        assert file == "https://arxiv.org/abs/2411.12355" or (root / "results" / file).exists(), file


def test_a_cell_leads_to_the_manifest_and_on_to_what_it_was_made_from(root):
    score = root / "results/scores/dynfocus/seed-0.json"
    checkpoint = root / "checkpoints/instruction/dynfocus/seed-0"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").write_text(
        json.dumps({"command": "train-instruction", "inputs": {}, "settings": {"a": 1}})
    )
    manifest = {"command": "score-answers", "seed": 0, "device": "cpu", "inputs": {str(checkpoint): "0123456789abcdef"}}
    score.with_name("seed-0.json.manifest.json").write_text(json.dumps(manifest))
    html = make_page(root)
    assert 'href="#record-results-scores-dynfocus-seed-0-json"' in html
    assert 'id="record-results-scores-dynfocus-seed-0-json"' in html
    assert 'href="#record-checkpoints-instruction-dynfocus-seed-0"' in html
    assert "train-instruction" in html


def test_scores_of_another_seed_on_the_disk_have_no_record(root):
    scores = root / "results/scores/dynfocus"
    shutil.copy(scores / "seed-0.json", scores / "seed-7.json")
    html = make_page(root)
    assert "record-results-scores-dynfocus-seed-0-json" in html and "seed-7" not in html


def test_a_changed_score_changes_the_page(root):
    before = make_page(root)
    path = root / "results/scores/dynfocus/seed-0.json"
    path.write_text(path.read_text().replace("47.25", "31.5"))
    after = make_page(root)
    assert "47.2" in before and "31.5" not in before
    assert "31.5" in after


def test_a_number_changed_by_hand_marks_its_record(root):
    path = root / "results/scores/dynfocus/seed-0.json"
    with record(path, command="score-answers", settings={}):
        pass
    assert "changed since it was made" not in make_page(root)
    path.write_text(path.read_text().replace("47.25", "31.5"))
    html = make_page(root)
    assert "31.5" in html and f"changed since it was made: content is now {content_hash(path)[:12]}" in html


def test_numbers_without_a_score_file_and_figures_lead_to_the_record_of_their_item(root):
    config = config_of(root)
    session = Session(config, root)
    cell = Comparison(ours=1.5, unit="s")
    table = plain_table("table_4", "Seconds per answer", ("Method",), ("MSVD-QA",), [(("DynFocus",), (cell,))])
    figure = curves({"a": {1.0: (1.0, 0.5, 1.5)}}, "x", "y")
    session.save("table_4", "Table 4", [table], {"main": (figure, "A figure.")})
    notebook = session.layout.notebook("table_4", "ipynb")
    notebook.parent.mkdir(parents=True)
    notebook.write_text("{}")
    with record(notebook, command="execute-notebook", settings={}):
        pass
    html = make_page(root)
    place = "record-results-notebooks-table-4-ipynb"
    assert f'<a class="ours" href="#{place}">1.5</a>' in html
    assert f'A figure. <a href="#{place}">record</a>' in html
    assert f'<details id="{place}">' in html


def test_a_missing_result_file_leaves_a_marked_gap_and_no_crash(root):
    make_page(root)
    (root / "results/scores/dynfocus/seed-0.json").unlink()
    html = make_page(root)
    assert "47.2" not in html
    assert 'title="missing: no scores of msvd_qa for dynfocus, seed 0"' in html


def test_failures_and_contradictions_are_on_the_page(root):
    html = make_page(root)
    assert "38 of 40; 1 unparsed; 2 unjudged" in html
    assert html.count('<span class="verdict contradiction">') == 9
    assert "No results of Flash-VStream and LLaMA-VID." in html


def test_evidence_that_the_repository_carries_decides_claims_in_a_report_of_one_seed(root, carried, tmp_path):
    elsewhere = jobs_of(tmp_path / "elsewhere")
    for run, chance in (("dynfocus", 70), ("blind", 30)):
        for seed in range(3):
            finish_scores(elsewhere, run, seed, answers(chance, seed))
    add_evidence(elsewhere, carried)
    html = make_page(root)
    assert "Evidence: seeds 0, 1, 2 on some CPU; answered 2026-01-02 to 2026-01-02." in html
    assert html.count('<span class="verdict replicates">replicates</span>') == 1
    assert "margin 3" in html and 'id="power"' in html
    assert html.count('<svg class="line replicates"') == 1
    assert (root / "results/figures/claims.png").stat().st_size > 0


def test_costs_come_from_the_timings(root):
    folder = Layout(root).times / "train_instruction/dynfocus"
    folder.mkdir(parents=True)
    (folder / "seed-0.tsv").write_text("s\th:m:s\tmax_rss\tcpu_time\n125.0\t0:02:05\t1500.5\tNA\n")
    html = make_page(root)
    assert "2 min 05 s" in html and "1500 MB" in html


def test_an_empty_root_renders(tmp_path):
    config = config_of(tmp_path)
    render(config, tmp_path, tmp_path / "results/report.html")
    assert "Nothing made yet" in (tmp_path / "results/report.html").read_text(encoding="utf-8")
    assert headline(config, tmp_path).startswith("No scores yet")


def test_headline_in_the_terminal(root):
    text = headline(config_of(root), root)
    assert "47.2 ± 2.0" in text and "withheld" in text and "mini profile" in text
    assert max(len(line) for line in text.splitlines()) <= 150


def test_the_agreement_of_two_judges_is_a_table_or_a_gap_that_says_why(root):
    assert "No second judge is set" in make_page(root)
    base = config_of(root)
    second = base.evaluation.judge.model_copy(update={"kind": "openai", "model": "served"})
    changes = {
        "evaluation": base.evaluation.model_copy(update={"second_judge": second}),
        "items": ["table_7"],
        "runs": ["dynfocus", "blind"],
    }
    assert "no answers were marked by both judges" in make_page(root, **changes)
    jobs = Session(config_of(root, **changes), root).jobs
    for step, judge, says in ((JudgeAnswers, "rule", "no"), (JudgeAgain, "served", "yes")):
        verdict = Verdict("msvd_qa", "q0", "qa", "ok", {"pred": says, "score": 3}, judge=judge)
        write_lines(step("dynfocus", 0).path(jobs), [verdict_row(verdict, ["q0"])])
        with record(step("dynfocus", 0).path(jobs), command=step.command(), settings={}):
            pass
    html = make_page(root, **changes)
    assert "First: rule. Second: served." in html and "+100.0" in html
    assert f"{len(base.seeds) * 2 - 1} more were not marked by both judges." in html
    assert 'id="record-results-second-verdicts-dynfocus-seed-0-jsonl"' in html
