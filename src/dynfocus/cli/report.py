"""Tables, figures, claims and the page that holds them all."""

from __future__ import annotations

import typer

from dynfocus.cli.options import DEFAULT_CONFIG, NO_OVERRIDES, ConfigFiles, ItemName, Overrides, load_jobs
from dynfocus.steps.perform import perform
from dynfocus.steps.table import ExecuteNotebook, ExecuteTutorial, RenderReport, TestClaims

app = typer.Typer()


@app.command()
def execute_notebook(
    item: ItemName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Execute the notebook of a report item: its table or figure, and its page.

    Example: dynfocus execute-notebook --item table_7
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.reporting.notebooks import execute

    step = ExecuteNotebook(item)
    (source,), (page,) = step.files(jobs), step.also(jobs)
    perform(jobs, step, lambda out: execute(item, jobs.config, jobs.layout.root, out, page, notebook=source))


@app.command()
def execute_tutorial(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Execute the tutorial: one film from its frames to an answer of the trained model, with a picture at each step.

    Example: dynfocus execute-tutorial
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.reporting.notebooks import execute

    step = ExecuteTutorial()
    (source,), (page,), seed = step.files(jobs), step.also(jobs), jobs.config.seeds[0]
    perform(jobs, step, lambda out: execute("tutorial", jobs.config, jobs.layout.root, out, page, seed, source))


@app.command()
def render_report(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Write results/report.html, one offline page of everything that was made.

    Example: dynfocus render-report
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.reporting.report import render

    perform(jobs, RenderReport(), lambda out: render(jobs.config, jobs.layout.root, out))


@app.command()
def test_claims(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Test the paper's direction claims on all evidence: the scores here, and what docs/claims carries.

    Example: dynfocus test-claims --set claim_seeds='[0, 1, 2]'
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.reporting.claims import store_claims

    perform(jobs, TestClaims(), lambda out: store_claims(jobs, out))
