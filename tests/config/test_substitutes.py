"""Training sets that stand for others: in every run, item and table."""

from __future__ import annotations

import pytest

from dynfocus.config.load import load_config
from dynfocus.errors import UserError
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import RenderReport, needed

STAGES = ("alignment", "instruction")
WITHOUT_WEBVID = "substitutes={webvid_cap: [llava_video_cap], webvid_qa: []}"


def test_substitutes_reach_runs_that_name_their_own_mixture(repository):
    settings = [f"experiments={repository}/config/experiments.yaml", WITHOUT_WEBVID]
    jobs = Jobs.load(load_config([repository / "config" / "paper.yaml"], settings))
    mixtures = [getattr(jobs.run(run), stage).datasets for run in jobs.experiments.runs for stage in STAGES]
    assert not any("webvid" in name for mixture in mixtures for name in mixture)
    full = jobs.run("dynfocus_full")
    assert full.alignment.datasets == ["llava_video_cap", "llava_cc3m"]
    assert full.instruction.datasets == ["videochatgpt", "llava_625k", "scienceqa", "clevrer", "nextqa"]
    assert "llava_video_cap" in jobs.items["training_data"].datasets
    steps = needed(jobs, [RenderReport()])
    assert not [step for step in steps if any("webvid" in str(key) for key in step.wildcards)]


def test_substitutes_survive_the_resolved_configuration(repository, tmp_path):
    settings = [f"experiments={repository}/config/experiments.yaml", WITHOUT_WEBVID, f"root={tmp_path}"]
    jobs = Jobs.load(load_config([repository / "config" / "paper.yaml"], settings))
    jobs.write_resolved()
    again = Jobs.load(load_config([jobs.layout.config]))
    for run in jobs.experiments.runs:
        assert again.run_settings(run, "train_instruction") == jobs.run_settings(run, "train_instruction")


@pytest.mark.parametrize(
    ("substitutes", "message"),
    [
        ("{webvid_cap: []}", "leave nothing of alignment.datasets"),
        ("{webvid_cap: [webvid_qa], webvid_qa: []}", "webvid_qa stands for webvid_cap and is itself replaced"),
        ("{webvid_cap: [webvid]}", "substitutes"),
    ],
)
def test_a_substitute_that_cannot_stand_is_refused(repository, substitutes, message):
    settings = [f"experiments={repository}/config/experiments.yaml", f"substitutes={substitutes}"]
    with pytest.raises(UserError, match=message):
        Jobs.load(load_config([repository / "config" / "paper.yaml"], settings))


def test_every_saved_table_names_what_was_replaced(repository, tmp_path):
    from dynfocus.reporting.session import Session
    from dynfocus.reporting.tables import plain_table

    settings = [f"experiments={repository}/config/experiments.yaml", WITHOUT_WEBVID, f"root={tmp_path}"]
    config = load_config([repository / "config" / "paper.yaml"], settings)
    table = plain_table("t", "T", ("Row",), ("Column",), [(("a",), ("1",))])
    shown = Session(config, tmp_path).save("table_7", "T", [table])
    assert shown.item.tables[0].notes == [
        "Training set WebVid-Cap replaced by LLaVA-Video-178K captions.",
        "Training set WebVidQA left out.",
    ]
