"""The claims register holds every table of the appendix, and refuses broken rows."""

from collections import Counter

import pytest
import yaml

from dynfocus.errors import UserError
from dynfocus.paper import register

CELLS_PER_TABLE = {
    "table_1": 4 * 3,
    "table_2": 2 * 3,
    "table_3": 4 * 3,
    "table_4": 3 * 5,
    "table_5": 3 * 3,
    "table_6": 3 * 3,
    "table_7": 10 * 4,
    "table_8": 12 * 17,
    "table_9": 11 * 2,
    "table_10": 3 * 2,
    "table_11": 11 * 2,
    "rod_cone": 5 * 2,
    "headline": 10,
    "b_2": 7,
}


@pytest.mark.parametrize(("table", "count"), CELLS_PER_TABLE.items())
def test_every_cell_of_a_table_is_there(table, count):
    assert len(register.cells_of(table)) == count


@pytest.mark.parametrize(
    ("cell_id", "value"),
    [
        ("table_1.row_2.msvd_accuracy", 61.07),
        ("table_2.with.instruction_hours", 25.35),
        ("table_3.dynamic_encoding.gflops", 112.16),
        ("table_3.t_dpc.latency", 608.28),
        ("table_4.flash_vstream.activitynet_qa", 6.9),
        ("table_5.weighted_kmeans.lvbench_accuracy", 25.1),
        ("table_6.concat.vcg_score", 2.66),
        ("table_7.dynfocus_clevrer.video_mme_accuracy", 42.6),
        ("table_7.flash_vstream_image.vcg_score", 2.97),
        ("table_8.pllava.temporal.halluc_accuracy", 58.0),
        ("table_8.llava_next_dpo.external_nonfactual.accuracy", 28.5),
        ("table_8.dynfocus_rectified.overall", 35.1),
        ("table_11.learning_rate.instruction", 2e-5),
        ("main.mlvu_g_avg", 4.38),
        ("rod_cone.rod2_cone256.activitynet_accuracy", 44.3),
    ],
)
def test_printed_numbers(cell_id, value):
    assert register.value_of(cell_id) == value


def test_dashes_are_missing_and_not_zero():
    dashes = [cell for cell in register.cells_of("table_8") if cell.unit == "missing"]
    assert len(dashes) == 4 + 2
    assert all(cell.number is None for cell in dashes)
    with pytest.raises(ValueError, match="not a number"):
        register.value_of("table_8.dynfocus.overall")


def test_main_paper_values_are_labelled_with_their_source():
    assert {cell.source for cell in register.cells_of("headline")} == {"main paper, through a published summary"}


def test_runs_of_cells_and_claims_are_runs_of_the_experiments():
    with open("config/experiments.yaml", encoding="utf-8") as file:
        runs = set(yaml.safe_load(file)["runs"])
    assert {cell.run for cell in register.load_cells()} - {""} <= runs
    named = {side.partition(":")[0] for claim in register.load_claims() for side in (claim.better, claim.worse)}
    assert named - {"", "prototypes", "ratio"} <= runs


def test_a_cell_of_a_joined_table_has_one_place():
    joined = [
        (cell.table, cell.run, cell.benchmark, cell.metric, cell.group)
        for cell in register.load_cells()
        if cell.run and cell.benchmark and cell.unit in ("percent", "score") and cell.table.startswith("table")
    ]
    assert max(Counter(joined).values()) == 1


ROW = register.load_cells()[0].model_dump()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": "65,45"}, "could not convert"),
        ({"unit": "missing"}, "missing cell carries"),
        ({"value": ""}, "no value"),
        ({"unit": "furlongs"}, "Input should be"),
        ({"group": "duration"}, "not `grouping=label`"),
    ],
)
def test_a_broken_row_is_named(change, message):
    with pytest.raises(UserError, match=f"cells.csv, row 'table_1.row_1.msvd_accuracy'.*{message}"):
        register.parse([ROW | change], register.Cell, "cells.csv")


def test_an_id_occurs_once():
    with pytest.raises(UserError, match="occurs twice"):
        register.parse([ROW, ROW], register.Cell, "cells.csv")


def test_deviations_page_is_up_to_date():
    with open("docs/deviations.md", encoding="utf-8") as file:
        assert file.read() == register.deviations_page(), "write register.deviations_page() to docs/deviations.md"
