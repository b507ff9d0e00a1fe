"""Table 3 and Figure 3 from a toy model: costs per module, and figures that show what was explained."""

import json

import numpy as np
import pytest
import torch

from dynfocus.config import load_config
from dynfocus.measuring.computation import budget, measure_modules, paper_size_parameters
from dynfocus.measuring.film import TIMELINE
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration
from dynfocus.network.complexity import module_parameters
from dynfocus.reporting.computation import budget_table, computation_table
from dynfocus.reporting.figures import write_figure
from dynfocus.reporting.film import Timeline, boundaries
from dynfocus.reporting.prototypes import choose_frames, spatial_figure, timeline_figure
from dynfocus.reporting.session import Session

FRAMES, GRID, WIDTH = 12, 4, 8


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 60,
    }
    config = DynFocusConfig(
        text_config={"model_type": "llama", **sizes},
        qformer_config={**sizes, "encoder_hidden_size": WIDTH},
        num_query_tokens=4, vision_width=WIDTH, image_token_id=59, grid=GRID, pooled_grid=2, event_prototypes=5,
        temporal_neighbours=2, fine_prototypes=4, coarse_prototypes=2, fine_neighbours=3, coarse_neighbours=2,
        projector_width=16,
    )  # fmt: skip
    return DynFocusForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def explanation(model):
    features = torch.randn(FRAMES, GRID * GRID, WIDTH, generator=torch.Generator().manual_seed(1))
    return model.explain(features, torch.tensor([3, 4, 5]))


@pytest.fixture(scope="module")
def timeline(explanation):
    """The time line as a measurement stores it."""
    return Timeline.of({field: getattr(explanation, field).tolist() for field in TIMELINE})


@pytest.fixture
def session(tmp_path, repository):
    return Session(load_config([repository / "config/mini.yaml"], [f"root={tmp_path}"]), tmp_path)


def test_paper_size_parameters_are_those_of_the_paper_and_the_method():
    counted = paper_size_parameters()
    assert counted["dynamic_selection"] == pytest.approx(12.897, abs=0.001)
    assert counted["s_dpc"] == counted["t_dpc"] == 0


def test_modules_together_have_the_connector_s_parameters(model):
    connector = model.connector
    total = sum(parameter.numel() for parameter in connector.parameters()) / 1e6
    assert sum(module_parameters(connector).values()) == pytest.approx(total)


def test_selection_is_counted_in_multiply_adds(model):
    costs = measure_modules(model.connector, torch.randn(FRAMES, GRID * GRID, WIDTH), torch.tensor([3, 4]))
    e = 2 * WIDTH
    assert costs["dynamic_selection"].gflops == pytest.approx(5 * (e * e + e * e / 2 + e * e / 8 + e / 4) / 1e9)
    assert all(cost.latency >= 0 for cost in costs.values())


def test_table_3_without_a_checkpoint_is_all_gaps(session):
    table = computation_table(session)
    assert [row.labels[0] for row in table.rows] == [
        "CCE: S-DPC",
        "CCE: Dyn. Enc.",
        "DPE: T-DPC",
        "DPE: Dyn. Select.",
    ]
    assert all(cell.gap for cell in table.comparisons())


def test_budget_lists_the_selection_layers_of_b_2(session):
    path = session.layout.measurement("table_3")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"layers_at_paper_size": budget()}))
    shapes = [row.cells[0] for row in budget_table(session).rows if row.labels[0].startswith("selection")]
    assert shapes == ["2816 → 2816", "2816 → 1408", "1408 → 704", "704 → 1"]


def test_boundaries_run_between_different_clusters():
    assert boundaries(np.array([[0, 1], [0, 0]])) == [((1, 0), (1, 1)), ((1, 1), (2, 1))]
    assert boundaries(np.zeros((3, 3), dtype=int)) == []


def test_shown_frames_are_cones_first(timeline):
    chosen = choose_frames(timeline, 3)
    assert len(chosen) == 3 and all(timeline.cones[number] for number in chosen)
    more = choose_frames(timeline, 6)
    assert set(np.flatnonzero(timeline.cones)) <= set(more) and len(more) == 6


def test_figures_are_written_as_vector_and_png(explanation, timeline, tmp_path):
    chosen = choose_frames(timeline, 2)
    images = [np.full((16, 16, 3), 10 * number, dtype=np.uint8) for number in chosen]
    figure = spatial_figure(images, explanation.fine_map.numpy(), explanation.coarse_map.numpy(), chosen)
    paths = write_figure(figure, tmp_path, "spatial")
    assert [path.name for path in paths] == ["spatial.pdf", "spatial.svg", "spatial.png"]
    assert all(path.stat().st_size > 0 for path in paths)


def test_equal_figures_are_equal_files(timeline, tmp_path):
    for folder in ("a", "b"):
        write_figure(timeline_figure(timeline, "what happens"), tmp_path / folder, "timeline")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
