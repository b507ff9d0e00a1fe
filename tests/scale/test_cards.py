"""A plan for one card of each usual size: every training of it fits, by the estimate, with its longest sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynfocus.config.load import load_config
from dynfocus.planning.fits import fits
from dynfocus.planning.rates import gpu
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import RenderReport, needed

CARDS = {"one_card_16gb": "rtx4080", "one_card_24gb": "rtx4090", "one_card_48gb": "l40s", "one_card_80gb": "a100"}


@pytest.mark.parametrize("profile, card", CARDS.items())
def test_every_training_fits_its_card(repository, monkeypatch, tmp_path, profile, card):
    monkeypatch.chdir(repository)
    jobs = Jobs.load(load_config([Path(f"config/{profile}.yaml")], [f"root={tmp_path}"]))
    assert f"{gpu(card).gigabytes:.0f}gb" in profile
    found = fits(jobs, needed(jobs, [RenderReport()]), gpu(card))
    assert {one.stage for one in found} == {"alignment", "instruction"}
    assert all(one.fits for one in found), [(one.runs, one.advice) for one in found if not one.fits]
    whole = jobs.run("dynfocus").model_copy(update={"instruction": load_config(["config/paper.yaml"]).instruction})
    from dynfocus.planning.fits import fit

    assert not fit(whole, "dynfocus", "instruction", gpu(card)).fits, "the LLM as a whole needs more than a card"
