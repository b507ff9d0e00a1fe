"""What the report says of all claims together: the forest of differences, the power, and simulated families."""

import numpy as np
import pytest
from evidence_files import FILMS, PER_FILM, evidence_of_runs

from dynfocus.paper.register import load_claims
from dynfocus.reporting.claims import Outcome, judge_claims
from dynfocus.reporting.figures import write_figure
from dynfocus.reporting.forest import WIDEST, forest
from dynfocus.reporting.power import power_of_benchmarks, power_table
from dynfocus.reporting.simulation import TRUTHS, Study, simulate
from dynfocus.reporting.verdicts import Verdict

CLAIMS = [claim for claim in load_claims() if claim.kind == "pair" and claim.benchmark == "msvd_qa"][:8]


def test_the_forest_draws_every_tested_claim_in_its_own_look(tmp_path):
    outcomes = [
        Outcome(
            id=str(number), statement=f"claim {number} " + "long " * 20, source="x", margin=3.0,
            metric="msvd_qa accuracy", verdict=verdict.value,
            difference=difference, low=difference - 4, high=difference + 4, narrow_low=difference - 3,
            narrow_high=difference + 3,
        )
        for number, (verdict, difference) in enumerate(
            9 * [(Verdict.REPLICATES, 60.0), (Verdict.CONTRADICTED, -7.0), (Verdict.EQUIVALENT, 0.2),
                 (Verdict.UNDECIDED, -1.0)]
        )
    ]  # fmt: skip
    figure = forest([*outcomes, Outcome(id="none", statement="untested", source="x", margin=3.0)])
    (axes,) = figure.axes
    assert len(axes.get_yticks()) == 36
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "replicates", "contradicted", "equivalent", "undecided",
    ]  # fmt: skip
    assert max(max(np.abs(line.get_xdata())) for line in axes.lines) <= WIDEST
    assert "+60.0" in {text.get_text() for text in axes.texts}
    assert len(write_figure(figure, tmp_path, "forest")) == 3


def test_power_is_of_the_measured_variances():
    runs = {side: 60.0 for claim in CLAIMS for side in (claim.better, claim.worse)}
    evidence = evidence_of_runs(runs)
    (power,) = power_of_benchmarks(evidence, CLAIMS)
    assert (power.films, power.per_film, power.claims, power.margin) == (FILMS, PER_FILM, len(CLAIMS), 3.0)
    found = [power.detectable(seeds) for seeds in (3, 5, 20)]
    assert found == sorted(found, reverse=True) and found[0] < 30
    table = power_table(evidence, CLAIMS)
    shares = [cell.ours for cell in table.rows[0].cells[3:6]]
    assert sum(shares) == pytest.approx(100)
    assert table.rows[0].labels == ["MSVD-QA", "accuracy"]
    assert not power_table(evidence_of_runs(runs, seeds=2), CLAIMS).rows


def check_rates(rates, errors: float):
    """Verdicts as the truth allows, up to a share of errors: the correction promises 5 % of the findings."""
    assert set(rates.verdicts) == set(TRUTHS)
    assert rates.verdicts[2.0][Verdict.REPLICATES] > 0.8
    assert rates.verdicts[2.0][Verdict.EQUIVALENT] == rates.verdicts[2.0][Verdict.CONTRADICTED] == 0
    assert rates.verdicts[0.0][Verdict.EQUIVALENT] > rates.verdicts[0.5][Verdict.EQUIVALENT]
    assert rates.false_directions <= errors and rates.false_equivalents <= errors
    assert rates.coverage == pytest.approx(0.95, abs=0.04)


def test_simulated_claims_of_known_truth_come_out_as_they_are():
    check_rates(simulate(Study(), 12), 0.08)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seeds", [3, 5])
def test_a_thousand_families_of_simulated_claims(seeds):
    check_rates(simulate(Study(seeds=seeds), 1000), 0.05)


def test_the_order_of_claims_is_kept():
    outcomes = judge_claims(evidence_of_runs({"dynfocus": 60.0, "blind": 30.0}), CLAIMS)
    assert [one.id for one in outcomes] == [claim.id for claim in CLAIMS]
