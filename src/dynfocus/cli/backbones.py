"""The pretrained parts: prepare-clip, prepare-llm, prepare-qformer."""

from __future__ import annotations

import typer

from dynfocus.cli.options import DEFAULT_CONFIG, NO_OVERRIDES, ConfigFiles, Overrides, load_jobs
from dynfocus.steps.perform import perform
from dynfocus.steps.table import PrepareClip, PrepareLlm, PrepareQformer

app = typer.Typer()


@app.command()
def prepare_clip(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Train or fetch the visual encoder, an open_clip checkpoint.

    Example: dynfocus prepare-clip --set backbones.clip.steps=50
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.backbones.clip import prepare

    perform(jobs, PrepareClip(), lambda out: prepare(jobs.config, out))


@app.command()
def prepare_llm(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Train or fetch the language model, a Hugging Face checkpoint with its tokenizer.

    Example: dynfocus prepare-llm --set backbones.llm.steps=50
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.backbones.llm import prepare

    perform(jobs, PrepareLlm(), lambda out: prepare(jobs.config, out))


@app.command()
def prepare_qformer(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Train or fetch the text encoder, an InstructBLIP Q-Former on top of the visual encoder.

    Example: dynfocus prepare-qformer --set backbones.qformer.steps=50
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.backbones.qformer import prepare

    perform(jobs, PrepareQformer(), lambda out: prepare(jobs.config, out, PrepareClip().path(jobs)))
