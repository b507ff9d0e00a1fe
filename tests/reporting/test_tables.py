"""Tables: joined to the register, gaps shown, exports complete."""

import csv
import io
import json

import pytest
from score_files import score_record

from dynfocus.reporting.export import to_csv, to_latex, to_markdown, write_tables
from dynfocus.reporting.page import table_html
from dynfocus.reporting.results import Results
from dynfocus.reporting.tables import Scale, Table, coverage_table, paper_table

MINI = Scale("mini", "generated films")
PAPER = Scale("paper")


def table_5(root, scale=PAPER, seeds=(0,)) -> Table:
    return paper_table("table_5", "Clustering", Results(root, seeds), scale, heads=("Clustering",))


def cell(table: Table, row: str, column: str):
    found = next(one for one in table.rows if one.labels[0] == row)
    return found.cells[table.columns.index(column)]


@pytest.fixture
def root(scores):
    return scores(
        [
            score_record("msvd_qa", "dynfocus", 0, {"accuracy": 66.0, "score": 3.5}),
            score_record("lvbench", "dynfocus", 0, {"accuracy": 40.0}),
            score_record("msvd_qa", "kmeans", 0, {"accuracy": 60.0, "score": 3.1}, unjudged=4, judge="rule"),
        ]
    )


def test_cells_carry_paper_ours_interval_difference_and_verdict(root):
    found = cell(table_5(root), "DPC-KNN", "MSVD-QA Acc")
    assert (found.paper, found.ours, found.low, found.high) == (67.9, 66.0, 64.0, 68.0)
    assert found.difference == pytest.approx(-1.9)
    assert found.signed_difference == "−1.9"
    assert found.verdict == "replicates"
    assert found.record == "results/scores/dynfocus/seed-0.json"
    assert cell(table_5(root), "DPC-KNN", "LV-Bench Acc").verdict == "differs"


def test_at_small_scale_no_value_is_judged_and_the_table_says_so(root):
    table = table_5(root, MINI)
    assert {one.verdict for one in table.comparisons() if one.ours is not None} == {"cannot be compared at this scale"}
    assert any("ranks stand beside the paper's" in note for note in table.notes)


def test_missing_and_withheld_results_are_marked_gaps(root):
    table = table_5(root)
    assert cell(table, "Weighted K-means", "MSVD-QA Acc").gap.startswith("missing: no scores")
    assert cell(table, "K-means", "MSVD-QA Acc").gap == "withheld: 4 of 40 answers unjudged"
    html = table_html(table, str)
    assert html.count('<span class="missing">missing</span>') == 4
    assert html.count('<span class="missing">withheld</span>') == 2


def test_an_empty_root_gives_a_table_of_gaps(tmp_path):
    table = table_5(tmp_path)
    assert all(one.gap and one.ours is None and one.paper is not None for one in table.comparisons())


def test_a_changed_number_changes_its_cell_and_no_other(root):
    before = table_5(root)
    path = root / "results/scores/dynfocus/seed-0.json"
    records = json.loads(path.read_text())
    records[0]["metrics"]["accuracy"] = {"value": 12.5, "low": 10.0, "high": 15.0, "n": 40}
    path.write_text(json.dumps(records))
    after = table_5(root)
    changed = [
        one.cell_id for one, other in zip(after.comparisons(), before.comparisons(), strict=True) if one != other
    ]
    assert changed == ["table_5.dpc_knn.msvd_accuracy"]
    assert "12.5" in table_html(after, str)


def test_another_model_s_numbers_are_neither_gap_nor_ours(root):
    table = paper_table("table_8", "Hallucination", Results(root, (0,)), PAPER)
    pllava = cell(table, "PLLaVA", "Overall")
    assert (pllava.paper, pllava.ours, pllava.gap) == (38.1, None, "")


def test_csv_has_a_line_per_cell_with_full_precision(root):
    rows = list(csv.DictReader(io.StringIO(to_csv(table_5(root)))))
    assert len(rows) == 9
    first = next(row for row in rows if row["cell"] == "table_5.dpc_knn.msvd_score")
    assert (first["paper"], first["ours"], first["verdict"]) == ("3.7", "3.5", "replicates")


def test_markdown_and_latex_have_one_line_per_row_and_escape(root):
    table = table_5(root).model_copy(update={"title": "50 % of A_b & c"})
    markdown = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert len(markdown) == 2 + 3
    latex = to_latex(table)
    assert r"50 \% of A\_b \& c" in latex
    assert latex.count(r" \\") == 1 + 3


def test_tables_of_an_item_share_one_csv_header(root, tmp_path):
    paths = write_tables([table_5(root), table_5(root)], tmp_path / "out", "both")
    assert [path.suffix for path in paths] == [".csv", ".md", ".tex"]
    assert paths[0].read_text().count("table,row,column") == 1


def test_stored_table_reads_back_equal(root):
    table = table_5(root)
    assert Table.model_validate_json(table.model_dump_json()) == table


def test_coverage_names_every_failure(root):
    table = coverage_table("table_5", Results(root, (0,)), ["kmeans", "dynfocus", "concat"], ["msvd_qa", "lvbench"])
    assert [(row.labels, row.cells) for row in table.rows] == [
        (["kmeans", "0"], ["36 of 40; 1 unparsed; 4 unjudged", "–"]),
        (["dynfocus", "0"], ["40 of 40; 1 unparsed", "40 of 40; 1 unparsed"]),
    ]
    assert table.notes == ["Open answers judged by: the offline rule judge."]


def test_a_floor_is_a_last_row_of_ours_in_the_same_metrics(scores):
    answered = {"msvd_qa": {"accuracy": 21.0, "score": 1.2}, "video_mme": {"accuracy": 20.8}}
    root = scores([score_record(benchmark, "blind", 0, metrics) for benchmark, metrics in answered.items()])
    table = paper_table("table_7", "Data", Results(root, (0,)), MINI, heads=("Method",), floor=("Blind", "blind"))
    assert table.rows[-1].labels == ["Blind"]
    assert cell(table, "Blind", "MSVD-QA Acc").ours == 21.0 and cell(table, "Blind", "MSVD-QA Score").ours == 1.2
    assert cell(table, "Blind", "VCG-Bench Score").gap and cell(table, "Blind", "MSVD-QA Acc").paper is None
    assert cell(table, "Blind", "VideoMME Acc").unit == "percent"  # the column's first cell is a dash


@pytest.mark.parametrize(("unparsed", "said"), [(4, False), (5, True)])
def test_a_score_of_replies_that_often_name_no_option_is_marked(scores, unparsed, said):
    record = score_record("lvbench", "kmeans", 0, {"accuracy": 12.0})
    record["failures"]["unparsed"] = unparsed
    notes = " ".join(table_5(scores([record])).notes)
    assert (f"kmeans on LVBench, seed 0: {unparsed} of 40 replies name no option" in notes) == said


def test_a_sample_and_subtitles_are_marked_in_the_cell_in_the_notes_and_in_the_coverage(scores):
    record = score_record("lvbench", "dynfocus", 0, {"accuracy": 40.0})
    part = {"sample": {"asked": 40, "of": 1549, "seed": 7}, "subtitles": True}
    results = Results(scores([record | part]), (0,))
    said = "a sample of 40 of 1,549 (seed 7), with subtitles"
    table = paper_table("table_5", "Clustering", results, PAPER, heads=("Clustering",))
    assert cell(table, "DPC-KNN", "LV-Bench Acc").coverage == f"40 of 40; {said}"
    assert f"LVBench: {said}." in table.notes
    (row,) = coverage_table("table_5", results, ["dynfocus"], ["lvbench"]).rows
    assert row.cells == [f"40 of 40; {said}; 1 unparsed"]
