"""A trained model in use: chat, serve-chat, export-model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.options import DEFAULT_CONFIG, NO_OVERRIDES, ConfigFiles, Overrides, RunName, Seed, load_jobs
from dynfocus.errors import UserError
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.perform import check
from dynfocus.steps.table import PrepareClip, ScoreAnswers, model_of

if TYPE_CHECKING:
    from dynfocus.chat.model import ChatModel

app = typer.Typer()

Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="Checkpoint folder, in place of a run and a seed.")
]
ClipFolder = Annotated[Path | None, typer.Option("--clip", help="Visual encoder's folder; the profile's by default.")]


@app.command()
def chat(
    video: Annotated[Path, typer.Argument(help="The video to talk about, for example an mp4 file.", metavar="VIDEO")],
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    run: RunName = "dynfocus",
    seed: Seed = 0,
    checkpoint: Checkpoint = None,
    clip: ClipFolder = None,
) -> None:
    """Ask several questions about one video in the terminal; under each reply stand the frames that were cones.

    Example: dynfocus chat data/msvd_qa/videos/film9000000.mp4
    """
    jobs = load_jobs(config, overrides)
    from rich.console import Console

    from dynfocus.chat.terminal import read_question, talk

    model = _chat_model(jobs, run, seed, checkpoint, clip)
    console = Console()
    talk(model, model.open(video), lambda: read_question(console), console)


@app.command()
def serve_chat(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    run: RunName = "dynfocus",
    seed: Seed = 0,
    beside: Annotated[str, typer.Option(help="A second run, that answers every question beside the first.")] = "",
    checkpoint: Checkpoint = None,
    clip: ClipFolder = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 7860,
) -> None:
    """Serve a web page to play a film, ask questions, and see its cones, scores and prototypes in time.

    Example: dynfocus serve-chat --run dynfocus --beside flash_vstream
    """
    jobs = load_jobs(config, overrides)
    asked = [(run, checkpoint), (beside, None)] if beside else [(run, checkpoint)]
    titles = [str(folder or jobs.experiments.runs[jobs.known_run(name)].title) for name, folder in asked]
    if len(set(titles)) < len(titles):
        raise UserError(f"--beside {beside}: would show the same model twice; name another run")
    try:
        from dynfocus.chat.page import Chat, serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dynfocus"):
            raise
        raise UserError(f"the page needs {error.name}; install it: pip install 'dynfocus[chat]'") from error
    from dynfocus.chat.examples import about, examples

    shown = [_chat_model(jobs, name, seed, folder, clip) for name, folder in asked]
    models = dict(zip(titles, shown, strict=True))
    serve(Chat(models, examples(jobs.layout), about(jobs.config)), host, port)


@app.command()
def export_model(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not exist.", metavar="FOLDER")],
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    run: RunName = "dynfocus",
    seed: Seed = 0,
) -> None:
    """Write a trained model as a folder for a hub: weights, visual encoder, processor, chat template and model card.

    Example: dynfocus export-model exported --run dynfocus
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.hub.export import export_model as export

    step = model_of(jobs, run, seed)
    check(jobs, [step, PrepareClip()])
    scores = ScoreAnswers(run, seed).path(jobs)
    export(jobs.run(run), run, step.path(jobs), PrepareClip().path(jobs), out, [scores] if scores.is_file() else [])
    print(f"{out}: exported")


def _chat_model(jobs: Jobs, run: str, seed: int, checkpoint: Path | None, clip: Path | None) -> ChatModel:
    """The model of a chat: a folder as it was trained, or a run as it answers, checked as for answering."""
    from dynfocus.chat.model import ChatModel

    config, tower = jobs.run(run), clip or PrepareClip().path(jobs)
    if checkpoint is not None:
        return ChatModel(checkpoint, tower, config)
    step = model_of(jobs, run, seed)
    check(jobs, [step])
    return ChatModel(step.path(jobs), tower, config, config.network)
