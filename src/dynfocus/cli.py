"""The command line: one command per rule of the workflow, each also usable by hand.

Every command reads the profile (`--config`, repeatable; `--set key.path=value`), finds its inputs
below the profile's `root`, calls one function of the package, and writes a manifest beside what it
made. A user's mistake ends with one line on stderr and exit code 2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dynfocus.config.experiments import require_known
from dynfocus.config.jobs import Jobs
from dynfocus.config.load import load_config
from dynfocus.config.schema import DATASETS
from dynfocus.config.slices import hash_of
from dynfocus.errors import UserError
from dynfocus.hardware import require_gpus
from dynfocus.locking import only_one
from dynfocus.provenance import content_of, record, verify

app = typer.Typer(
    help="DynFocus, a video LLM: data, features, training, evaluation and report, one command per step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFiles = Annotated[
    list[Path], typer.Option("--config", "-c", help="Profile file; further files merge on top.", metavar="FILE")
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", "-s", help="One setting, e.g. alignment.epochs=2; repeatable.", metavar="KEY=VALUE"),
]
Dataset = Annotated[str, typer.Option("--dataset", help="Training set or benchmark, e.g. msvd_qa.")]
RunName = Annotated[str, typer.Option("--run", help="Run of config/experiments.yaml, e.g. dynfocus.")]
Seed = Annotated[int, typer.Option("--seed", help="Training seed.")]
Shard = Annotated[int, typer.Option("--shard", min=0, help="Which part of the work, from 0.")]
ItemName = Annotated[str, typer.Option("--item", help="Report item of config/experiments.yaml, e.g. table_7.")]

NumShards = Annotated[
    int | None, typer.Option("--num-shards", min=1, help="Parts in all; the profile's number by default.")
]
DEFAULT_CONFIG = [Path("config/mini.yaml")]
NO_OVERRIDES: list[str] = []


def main() -> None:
    """Entry point: run the app and turn a `UserError` into one line and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"dynfocus: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def load_jobs(config: list[Path], overrides: list[str]) -> Jobs:
    """The resolved configuration and everything that follows from it."""
    return Jobs.load(load_config(config, overrides))


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
    require_known("--dataset", [dataset], DATASETS, "training set or benchmark")
    if jobs.config.datasets == "ledger":
        raise UserError(
            f"prepare-data {dataset}: the real sets have no download yet; put the official files below "
            f"{jobs.layout.data / dataset}, or use a profile with `datasets: world`"
        )
    from dynfocus.world.export import prepare

    out = jobs.layout.data / dataset
    settings = jobs.settings("prepare_data")
    with record(
        out, command="prepare-data", settings=settings, modules=["dynfocus.world"], seed=jobs.config.world.seed
    ):
        prepare(jobs.config, dataset, out)


@app.command()
def prepare_clip(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Train or fetch the visual encoder, an open_clip checkpoint.

    Example: dynfocus prepare-clip --set backbones.clip.steps=50
    """
    jobs = load_jobs(config, overrides)
    require_gpus(jobs.config, 1)
    from dynfocus.backbones.clip import prepare

    with _backbone(jobs, "clip") as out:
        prepare(jobs.config, out)


@app.command()
def prepare_llm(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Train or fetch the language model, a Hugging Face checkpoint with its tokenizer.

    Example: dynfocus prepare-llm --set backbones.llm.steps=50
    """
    jobs = load_jobs(config, overrides)
    require_gpus(jobs.config, 1)
    from dynfocus.backbones.llm import prepare

    with _backbone(jobs, "llm") as out:
        prepare(jobs.config, out)


@app.command()
def prepare_qformer(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Train or fetch the text encoder, an InstructBLIP Q-Former on top of the visual encoder.

    Example: dynfocus prepare-qformer --set backbones.qformer.steps=50
    """
    jobs = load_jobs(config, overrides)
    require_gpus(jobs.config, 1)
    from dynfocus.backbones.qformer import prepare

    with _backbone(jobs, "qformer") as out:
        prepare(jobs.config, out, jobs.layout.backbones / "clip")


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
    require_known("--dataset", [dataset], DATASETS, "training set or benchmark")
    require_gpus(jobs.config, 1)
    from dynfocus.features import extract

    layout = jobs.layout
    total = num_shards or jobs.config.feature_shards
    data, clip = layout.data / dataset, layout.backbones / "clip"
    out = layout.feature_shard(dataset, shard, total)
    with record(
        out,
        command="extract-features",
        settings=jobs.settings("extract_features"),
        inputs=[data, clip],
        modules=["dynfocus.features", "dynfocus.video", "dynfocus.backbones"],
        device=jobs.config.hardware.device,
    ):
        extract(jobs.config, dataset, data, clip, out, shard, total)


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
    key = jobs.alignment_key(run, seed)
    _train(jobs, "alignment", run, seed, jobs.layout.backbones, jobs.layout.alignment(key), key)


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
    init = jobs.layout.backbones
    if jobs.has_alignment(run):
        init = jobs.layout.alignment(jobs.alignment_key(run, seed))
        verify(init, jobs.run_settings(run, "train_alignment"))
    out = jobs.layout.instruction(run, seed)
    _train(jobs, "instruction", run, seed, init, out, jobs.instruction_key(run, seed))


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
    require_gpus(settings, 1)
    layout, lender = jobs.layout, jobs.weights_run(run)
    checkpoint = layout.instruction(lender, seed)
    verify(checkpoint, jobs.run_settings(lender, "train_instruction"))
    from dynfocus.evaluation.answer import answer_shard

    total = num_shards or settings.evaluation.shards
    out = layout.answers(run, seed, shard, total)
    benchmarks = jobs.benchmarks(run)
    answering = jobs.run_settings(run, "answer_questions")
    key = hash_of([answering, content_of(checkpoint)])
    making = record(
        out,
        command="answer-questions",
        settings=answering | {"benchmarks": benchmarks},
        inputs=[checkpoint, *(layout.data / name for name in benchmarks)],
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
            out,
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

    layout, settings = jobs.layout, jobs.run(run)
    answers, out = _answers(jobs, run, seed), layout.verdicts(run, seed)
    with record(
        out,
        command="judge-answers",
        settings=jobs.run_settings(run, "judge_answers"),
        inputs=answers,
        modules=["dynfocus.evaluation"],
        seed=seed,
    ):
        judge(settings, answers, layout.data, layout.judge_replies, out)


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

    layout, settings, benchmarks = jobs.layout, jobs.run(run), jobs.benchmarks(run)
    answers, verdicts, out = _answers(jobs, run, seed), layout.verdicts(run, seed), layout.scores(run, seed)
    with record(
        out,
        command="score-answers",
        settings=jobs.run_settings(run, "score_answers") | {"benchmarks": benchmarks},
        inputs=[*answers, verdicts],
        modules=["dynfocus.evaluation"],
        seed=seed,
    ):
        score_run(settings, run, seed, benchmarks, answers, verdicts, layout.data, out)


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
    notebook = jobs.item(item).notebook
    from dynfocus.reporting.notebooks import execute

    layout = jobs.layout
    made, page = layout.notebook(item, "ipynb"), layout.notebook(item, "html")
    execute(item, jobs.config, layout.root, made, page, notebook=Path("notebooks") / notebook)


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


@contextmanager
def _backbone(jobs: Jobs, name: str) -> Iterator[Path]:
    """The folder of a backbone, with a manifest once the body has filled it."""
    out = jobs.layout.backbones / name
    inputs = [Path(file) for file in jobs.backbone_files(name)]
    if name == "qformer":
        inputs.append(jobs.layout.backbones / "clip")
    with record(
        out,
        command=f"prepare-{name}",
        settings=jobs.settings(f"prepare_{name}"),
        inputs=inputs,
        modules=["dynfocus.backbones"],
        device=jobs.config.hardware.device,
    ):
        yield out


def _train(jobs: Jobs, stage: str, run: str, seed: int, init: Path, out: Path, key: str) -> None:
    """One training stage in as many processes as the profile says; the first one writes the manifest."""
    config = jobs.run(run)
    processes = config.hardware.processes
    if processes > 1 and "RANK" not in os.environ:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        require_gpus(config, processes)
        os.execv(sys.executable, [*launcher, "-m", "dynfocus", *sys.argv[1:]])
    require_gpus(config, 1)
    from dynfocus.training.stage import train_stage

    layout = jobs.layout
    work = layout.work(stage, key)
    started_from = [init / "llm", init / "qformer"] if init == layout.backbones else [init]
    with ExitStack() as held:
        if os.environ.get("RANK", "0") == "0":
            held.enter_context(only_one(layout.lock(stage, key), f"train-{stage} of {run}, seed {seed}"))
            making = record(
                out,
                command=f"train-{stage}",
                settings=jobs.run_settings(run, f"train_{stage}"),
                inputs=[*started_from, *(layout.feature_shard(*shard) for shard in jobs.training_shards(run, stage))],
                modules=["dynfocus.training", "dynfocus.network", "dynfocus.datasets"],
                seed=seed,
                device=config.hardware.device,
            )
            held.enter_context(making)
        train_stage(config, run, stage, seed, layout.data, layout.features, init, out, work)


def _answers(jobs: Jobs, run: str, seed: int) -> list[Path]:
    total = jobs.run(run).evaluation.shards
    return [jobs.layout.answers(run, seed, shard, total) for shard in range(total)]
