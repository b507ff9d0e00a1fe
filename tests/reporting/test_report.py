"""The report: one offline page, with every gap shown and every number led back to its record."""

import json
import re
from pathlib import Path

import pytest
from score_files import LOADED, score_record

from dynfocus.config import load_config
from dynfocus.reporting.report import headline, render
from dynfocus.reporting.session import Session


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
        assert (root / "results" / file).exists(), file


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


def test_a_changed_score_changes_the_page(root):
    before = make_page(root)
    path = root / "results/scores/dynfocus/seed-0.json"
    path.write_text(path.read_text().replace("47.25", "31.5"))
    after = make_page(root)
    assert "47.2" in before and "31.5" not in before
    assert "31.5" in after


def test_failures_and_contradictions_are_on_the_page(root):
    html = make_page(root)
    assert "38 of 40; 1 unparsed; 2 unjudged" in html
    assert html.count('<span class="verdict contradiction">') == 9
    assert "no results of flash_vstream and llama_vid" in html


def test_costs_come_from_the_timings(root):
    folder = root / "results/timings/train_instruction/dynfocus"
    folder.mkdir(parents=True)
    (folder / "seed-0.tsv").write_text("s\th:m:s\tmax_rss\tcpu_time\n125.0\t0:02:05\t1500.5\tNA\n")
    html = make_page(root)
    assert "2 min 05 s" in html and "1500 MB" in html


def test_an_empty_root_renders(tmp_path):
    config = config_of(tmp_path)
    render(config, tmp_path, tmp_path / "results/report.html")
    assert "No score file yet" in (tmp_path / "results/report.html").read_text(encoding="utf-8")
    assert headline(config, tmp_path).startswith("No scores yet")


def test_headline_in_the_terminal(root):
    text = headline(config_of(root), root)
    assert "47.2 ± 2.0" in text and "withheld" in text and "mini profile" in text
    assert max(len(line) for line in text.splitlines()) <= 150
