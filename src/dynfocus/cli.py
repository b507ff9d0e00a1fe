"""The command line: one command per rule of the workflow, each also usable by hand.

Every command reads the profile (`--config`, repeatable; `--set key.path=value`), finds its inputs
below the profile's `root`, calls one function of the package, and writes a manifest beside what it
made. A user's mistake ends with one line on stderr and exit code 2.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.artefacts.commands import app as artefact_commands
from dynfocus.errors import UserError
from dynfocus.ledger.commands import app as ledger_commands
from dynfocus.ledger.commands import fetch_set, require_readable
from dynfocus.machine.gpus import take_gpus
from dynfocus.machine.launch import launch_command
from dynfocus.machine.locks import only_one
from dynfocus.machine.startup import prepare_process
from dynfocus.options import (
    DEFAULT_CONFIG,
    NO_OVERRIDES,
    ConfigFiles,
    Dataset,
    ItemName,
    NumShards,
    Overrides,
    RunName,
    Seed,
    Shard,
    load_jobs,
)
from dynfocus.planning.commands import app as planning_commands
from dynfocus.steps import catalogue
from dynfocus.steps.bindings import check, check_item, is_kept
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import content_of, record

if TYPE_CHECKING:
    from dynfocus.chat.model import ChatModel

app = typer.Typer(
    help="DynFocus, a video LLM: data, features, training, evaluation and report, one command per step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="Checkpoint folder, in place of a run and a seed.")
]
ClipFolder = Annotated[Path | None, typer.Option("--clip", help="Visual encoder's folder; the profile's by default.")]

TRAINING_LOGS = ("log.csv", "trainer_state.json", "tensorboard/*")


app.add_typer(artefact_commands)
app.add_typer(ledger_commands)
app.add_typer(planning_commands)


def main() -> None:
    """Entry point: run the app and turn a `UserError` into one line and exit code 2."""
    prepare_process()
    try:
        app()
    except UserError as error:
        print(f"dynfocus: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@app.command()
def resolve_config(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Check a profile and write it out whole, with its experiments, below its root.

    Example: dynfocus resolve-config --config config/paper.yaml --set seeds='[0, 1]'
    """
    load_jobs(config, overrides).write_resolved()


@app.command()
def prepare_data(
    dataset: Dataset,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Make one training set or benchmark in its official layout: rendered films, or the real files.

    Example: dynfocus prepare-data --dataset msvd_qa
    """
    jobs = load_jobs(config, overrides)
    made = catalogue.data(jobs, dataset)
    if jobs.config.source == "ledger":
        fetch_set(jobs, dataset, made)
        return
    from dynfocus.world.export import prepare

    with record(made.path, command="prepare-data", settings=made.settings, modules=["dynfocus.world"], seed=made.seed):
        prepare(jobs.config, dataset, made.path)


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

    _backbone(jobs, "clip", lambda out: prepare(jobs.config, out))


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

    _backbone(jobs, "llm", lambda out: prepare(jobs.config, out))


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

    _backbone(jobs, "qformer", lambda out: prepare(jobs.config, out, jobs.layout.backbones / "clip"))


@app.command()
def prepare_model(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Fetch the model of a run that is not ours, a video LLM that transformers carries.

    Example: dynfocus prepare-model --run video_llava
    """
    jobs = load_jobs(config, overrides)
    name = jobs.foreign(run)
    if name is None:
        raise UserError(f"run {run} names no model; train it, or give it `model` in {jobs.config.experiments}")
    from dynfocus.evaluation.answerers.foreign import fetch

    out = jobs.layout.model(run)
    settings = jobs.model_settings(run)
    with record(out, command="prepare-model", settings=settings, modules=["dynfocus.evaluation.answerers"]):
        fetch(name, out)


@app.command()
def extract_features(
    dataset: Dataset,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    shard: Shard = 0,
    num_shards: NumShards = None,
) -> None:
    """Decode the videos and images of a set and store what the frozen visual encoder sees.

    Example: dynfocus extract-features --dataset webvid_cap --shard 0 --num-shards 4
    """
    jobs = load_jobs(config, overrides)
    total = num_shards or jobs.config.feature_shards
    made = catalogue.features(jobs, dataset, shard, total)
    read = [catalogue.data(jobs, dataset), catalogue.backbone(jobs, "clip")]
    check(jobs, read)
    data, clip = inputs = [artefact.path for artefact in read]
    if is_kept(made, inputs):
        return
    if (report := jobs.layout.coverage(dataset)).is_file():
        require_readable(report, jobs.config.video.min_readable)
    take_gpus(jobs.config, 1, "extract-features")
    from dynfocus.features.extract import extract
    from dynfocus.ledger.coverage import media_of_set

    with record(
        made.path,
        command="extract-features",
        settings=made.settings,
        inputs=inputs,
        modules=["dynfocus.features.extract", "dynfocus.features.decode", "dynfocus.backbones"],
        device=jobs.config.hardware.device,
    ):
        media = media_of_set(dataset, data)[shard::total]
        extract(jobs.config, dataset, media, data, clip, made.path)


@app.command()
def train_alignment(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    run: Annotated[str | None, typer.Option("--run", help="Run of config/experiments.yaml.")] = None,
    seed: Seed = 0,
    key: Annotated[str | None, typer.Option("--key", help="Stage-1 key, in place of a run and a seed.")] = None,
) -> None:
    """Stage 1, vision-language alignment; runs with equal stage-1 settings share the checkpoint.

    Example: dynfocus train-alignment --run dynfocus --seed 0
    """
    jobs = load_jobs(config, overrides)
    if (run is None) == (key is None):
        raise UserError("train-alignment: pass either --run (and --seed) or --key")
    if run is None:
        run, seed = jobs.alignment(key)
    _train(jobs, "alignment", run, seed, jobs.alignment_key(run, seed))


@app.command()
def train_instruction(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
) -> None:
    """Stage 2, instruction tuning of one run, from its stage-1 checkpoint.

    Example: dynfocus train-instruction --run dynfocus --seed 0
    """
    jobs = load_jobs(config, overrides)
    _train(jobs, "instruction", run, seed, jobs.instruction_key(run, seed))


@app.command()
def answer_questions(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
    shard: Shard = 0,
    num_shards: NumShards = None,
) -> None:
    """Answer the questions of every benchmark of a run, one part of them; an interrupted part goes on.

    Example: dynfocus answer-questions --run dynfocus --seed 0 --shard 0 --num-shards 2
    """
    jobs = load_jobs(config, overrides)
    settings = jobs.run(run)
    total = num_shards or settings.evaluation.shards
    made, benchmarks = catalogue.answers(jobs, run, seed, shard, total), jobs.benchmarks(run)
    read = [
        catalogue.checkpoint(jobs, run, seed),
        *(catalogue.data(jobs, name) for name in benchmarks),
        *(catalogue.features(jobs, *part) for part in jobs.benchmark_shards(run)),
    ]
    check(jobs, read)
    checkpoint, *_ = inputs = [artefact.path for artefact in read]
    if is_kept(made, inputs):
        return
    take_gpus(settings, 1, "answer-questions")
    from dynfocus.evaluation.answer import answer_shard

    layout = jobs.layout
    key = jobs.answers_key(run, content_of(checkpoint))
    making = record(
        made.path,
        command="answer-questions",
        settings=made.settings,
        inputs=inputs,
        modules=["dynfocus.evaluation", "dynfocus.network"],
        seed=seed,
        device=settings.hardware.device,
    )
    with only_one(layout.lock("answers", f"{key}-{shard}-of-{total}"), f"answer-questions of {run}"), making:
        answer_shard(
            settings,
            run,
            seed,
            benchmarks,
            shard,
            total,
            checkpoint,
            layout.data,
            layout.features,
            made.path,
            layout.work("answers", key),
        )


@app.command()
def judge_answers(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
) -> None:
    """Mark the answers of a run with the profile's judge; every reply is kept and asked for once.

    Example: dynfocus judge-answers --run dynfocus --seed 0
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.evaluation.judge import judge_answers as judge

    layout = jobs.layout
    made, answers = catalogue.verdicts(jobs, run, seed), _answers(jobs, run, seed)
    with record(
        made.path,
        command="judge-answers",
        settings=made.settings,
        inputs=answers,
        modules=["dynfocus.evaluation"],
        seed=seed,
    ):
        judge(jobs.run(run), answers, layout.data, layout.judge_replies, made.path)


@app.command()
def score_answers(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
) -> None:
    """Turn the marked answers of a run into metrics with intervals, coverage and failures.

    Example: dynfocus score-answers --run dynfocus --seed 0
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.evaluation.score import score_run

    judged, made = catalogue.verdicts(jobs, run, seed), catalogue.scores(jobs, run, seed)
    answers = _answers(jobs, run, seed)
    check(jobs, [judged])
    with record(
        made.path,
        command="score-answers",
        settings=made.settings,
        inputs=[*answers, judged.path],
        modules=["dynfocus.evaluation"],
        seed=seed,
    ):
        score_run(jobs.run(run), run, seed, jobs.benchmarks(run), answers, judged.path, jobs.layout.data, made.path)


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
    source = Path("notebooks") / jobs.item(item).notebook
    check_item(jobs, item)
    from dynfocus.reporting.notebooks import execute

    layout = jobs.layout
    made, page = layout.notebook(item, "ipynb"), layout.notebook(item, "html")
    with record(
        made,
        command="execute-notebook",
        settings=jobs.item_settings(item),
        inputs=[source, *(read.path for read in catalogue.read_by(jobs, item))],
        modules=["dynfocus.reporting"],
    ):
        execute(item, jobs.config, layout.root, made, page, notebook=source)


@app.command()
def test_claims(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Test the paper's direction claims over the seeds of `claim_seeds`, and store how each came out.

    Example: dynfocus test-claims --set claim_seeds='[0, 1, 2]'
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.reporting.claims import claim_evaluations, store_claims

    out, scores = jobs.layout.claims, [jobs.layout.scores(*pair) for pair in claim_evaluations(jobs)]
    with record(
        out,
        command="test-claims",
        settings={"profile": jobs.config.profile, "seeds": jobs.config.claim_seeds},
        inputs=[path for path in scores if path.exists()],
        modules=["dynfocus.reporting"],
    ):
        store_claims(jobs, out)


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
    checkpoint: Checkpoint = None,
    clip: ClipFolder = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 7860,
) -> None:
    """Serve a web page to load a video, ask questions, and see its cones, scores and prototypes in time.

    Example: dynfocus serve-chat --run dynfocus --port 7860
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.chat.server import serve

    serve(_chat_model(jobs, run, seed, checkpoint, clip), host, port)


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

    render(jobs.config, jobs.layout.root, jobs.layout.report)


@app.command()
def export_config_docs(
    root: Annotated[Path, typer.Option(help="Root of the repository.")] = Path("."),
) -> None:
    """Write config/schema.json and docs/configuration.md from the typed settings.

    Example: dynfocus export-config-docs
    """
    from dynfocus.config.reference import export

    for file in export(root):
        print(file)


def _chat_model(jobs: Jobs, run: str, seed: int, checkpoint: Path | None, clip: Path | None) -> ChatModel:
    """The model of a chat: a folder, or the checkpoint that answers for a run."""
    from dynfocus.chat.model import ChatModel

    folder = checkpoint or jobs.checkpoint(run, seed)
    return ChatModel(folder, clip or jobs.layout.backbones / "clip", jobs.run(run))


def _backbone(jobs: Jobs, name: str, prepare: Callable[[Path], None]) -> None:
    """Let `prepare` fill the folder of a backbone, unless it is filled already."""
    made = catalogue.backbone(jobs, name)
    inputs = [Path(file) for file in jobs.backbone_files(name)]
    if name == "qformer":
        clip = catalogue.backbone(jobs, "clip")
        check(jobs, [clip])
        inputs.append(clip.path)
    if is_kept(made, inputs):
        return
    command = f"prepare-{name}"
    take_gpus(jobs.config, 1, command)
    with record(
        made.path,
        command=command,
        settings=made.settings,
        inputs=inputs,
        modules=["dynfocus.backbones"],
        device=jobs.config.hardware.device,
    ):
        prepare(made.path)


def _train(jobs: Jobs, stage: str, run: str, seed: int, key: str) -> None:
    """One training stage in as many processes as the profile says; the first one writes the manifest."""
    config, layout = jobs.run(run), jobs.layout
    stage_of = {"alignment": catalogue.alignment, "instruction": catalogue.checkpoint}
    made, init = stage_of[stage](jobs, run, seed), layout.backbones
    start = [catalogue.backbone(jobs, name) for name in ("llm", "qformer")]
    if stage == "instruction" and jobs.has_alignment(run):
        aligned = catalogue.alignment(jobs, run, seed)
        init, start = aligned.path, [aligned]
    read = [
        *start,
        *(catalogue.data(jobs, name) for name in getattr(config, stage).datasets),
        *(catalogue.features(jobs, *shard) for shard in jobs.training_shards(run, stage)),
    ]
    inputs = [artefact.path for artefact in read]
    if "RANK" not in os.environ:
        check(jobs, read)
        if is_kept(made, inputs):
            return
    hardware = config.hardware
    command = launch_command(hardware, sys.argv[1:], os.environ, socket.gethostname())
    take_gpus(config, hardware.gpus // hardware.nodes, f"train-{stage}")
    if command is not None:
        os.execvp(command[0], command)
    from dynfocus.training.stage import train_stage

    with ExitStack() as held:
        if os.environ.get("RANK", "0") == "0":
            held.enter_context(only_one(layout.lock(stage, key), f"train-{stage} of {run}, seed {seed}"))
            making = record(
                made.path,
                command=f"train-{stage}",
                settings=made.settings,
                inputs=inputs,
                modules=["dynfocus.training", "dynfocus.network", "dynfocus.datasets"],
                seed=seed,
                device=config.hardware.device,
                apart=TRAINING_LOGS,
            )
            held.enter_context(making)
        work = layout.work(stage, key)
        train_stage(config, run, stage, seed, layout.data, layout.features, init, made.path, work)


def _answers(jobs: Jobs, run: str, seed: int) -> list[Path]:
    """The files of all answers of a run, checked with the benchmarks that they answer."""
    answers = catalogue.all_answers(jobs, run, seed)
    check(jobs, [*answers, *(catalogue.data(jobs, name) for name in jobs.benchmarks(run))])
    return [shard.path for shard in answers]
