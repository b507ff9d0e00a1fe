"""What every job does, whatever it runs on: floating-point work, countable units, bytes made and fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dynfocus.config.schema import Config, Stage
from dynfocus.machine.launch import loaders
from dynfocus.planning.models import Backbones, backbones, connector_parameters, inside, model_size
from dynfocus.planning.sizes import SetSize, set_size
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.step import Step
from dynfocus.steps.table import (
    AnswerQuestions,
    ExtractFeatures,
    JudgeAnswers,
    PrepareClip,
    PrepareData,
    PrepareLlm,
    PrepareQformer,
    ScoreAnswers,
    TrainAlignment,
    TrainInstruction,
    VerifyData,
)
from dynfocus.tokens import num_visual_tokens
from dynfocus.training.memory import Transformer

GIGA = 1e9
BYTES = {"int8": 1, "fp16": 2, "fp32": 4, "bf16": 2}
OPTIMIZER_BYTES = 12
KEPT_CHECKPOINTS = 2
PREFETCHED = 2
"""Batches that a loader process keeps ready, torch's default."""
JUDGE_PROMPT_TOKENS, JUDGE_REPLY_TOKENS = 320, 20
ANSWER_TOKENS = 20


@dataclass(frozen=True)
class Work:
    """One job.

    `units` of kind `unit` (films, samples, tokens, frames, questions, judgements, pages); `gflops` on the device, and
    `live_gflops` of frames that a training encodes on the fly; `gpus` it asks for; `frames` a mean question looks at;
    gigabytes it `keeps` and, while it runs, uses `meanwhile` on top, and `downloads`; `judge_calls` to a server.
    """

    unit: str
    units: float
    gflops: float = 0.0
    live_gflops: float = 0.0
    gpus: int = 0
    frames: float = 0.0
    keeps: float = 0.0
    meanwhile: float = 0.0
    downloads: float = 0.0
    judge_calls: int = 0


def work_of(jobs: Jobs, step: Step) -> Work:
    """The work of one job of the workflow."""
    config, gpus = jobs.config, step.gpus(jobs)
    match step:
        case PrepareData(name):
            size = set_size(config, name)
            fetched = size.gigabytes or 0.0
            return Work("film", size.media, keeps=fetched, meanwhile=fetched, downloads=fetched)
        case VerifyData(name):
            return Work("film", set_size(config, name).media)
        case PrepareClip() | PrepareLlm() | PrepareQformer():
            return _backbone_work(config, step.backbone(), gpus)
        case ExtractFeatures(name, _, shards):
            frames = set_size(config, name).all_frames / shards
            return Work(
                "frame",
                frames,
                gflops=frames * backbones(config).clip.gflops,
                gpus=gpus,
                keeps=feature_gigabytes(config, frames),
            )
        case TrainAlignment() | TrainInstruction():
            run, stage = step.trained(jobs)
            return training_work(jobs.run(run), stage)
        case AnswerQuestions(run):
            return _answer_work(jobs.run(run), jobs.benchmarks(run), gpus)
        case JudgeAnswers(run):
            calls = sum(set_size(config, name).judged for name in jobs.benchmarks(run))
            return Work("judgement", calls, judge_calls=calls if step.judge(jobs).kind == "openai" else 0)
        case ScoreAnswers(run):
            return Work("question", sum(set_size(config, name).samples for name in jobs.benchmarks(run)))
        case _:
            return Work("page", 1, gpus=gpus)


def training_work(config: Config, stage: str) -> Work:
    """One training stage of a run, `config` being the run's own configuration."""
    settings: Stage = getattr(config, stage)
    found = backbones(config)
    gflops = live = tokens = 0.0
    for name in settings.datasets:
        size = set_size(config, name)
        seen = sample_tokens(config, size)
        tokens += size.samples * seen * settings.epochs
        gflops += size.samples * settings.epochs * _sample_gflops(config, settings, found, size, seen)
        if name in config.on_the_fly:
            live += size.samples * settings.epochs * size.frames * found.clip.gflops
    model = model_size(config, settings)
    width = BYTES[settings.precision]
    shared = 0.0 if {"llm", "lora"} & set(settings.trainable) else inside(found.llm)
    rolling = KEPT_CHECKPOINTS * (width * model.parameters + OPTIMIZER_BYTES * model.trainable)
    return Work(
        "token",
        tokens,
        gflops=gflops,
        live_gflops=live,
        gpus=config.hardware.gpus if config.hardware.device == "cuda" else 0,
        keeps=width * (model.parameters - shared) / GIGA,
        meanwhile=rolling / GIGA,
    )


def sample_tokens(config: Config, size: SetSize) -> float:
    """LLM tokens of a mean sample: its text, and the frames once per round."""
    return size.text_tokens + size.rounds * num_visual_tokens(config.network, max(1, round(size.frames)))


def feature_gigabytes(config: Config, frames: float, tokens: int | None = None) -> float:
    """Size of stored features: all N patches of a frame, or `tokens` of it."""
    kept = config.network.grid**2 if tokens is None else tokens
    return frames * kept * backbones(config).clip.shape.hidden * BYTES[config.feature_precision] / GIGA


def batches_in_flight(config: Config) -> float:
    """Gigabytes of features that the loaders of one node hold ready in shared memory, at the mean film."""
    found, hardware = 0.0, config.hardware
    for stage in (config.alignment, config.instruction):
        frames = max(set_size(config, name).frames for name in stage.datasets)
        values = frames * config.network.grid**2 * backbones(config).clip.shape.hidden
        batch = stage.micro_batch * values * BYTES[stage.precision] / GIGA
        found = max(found, hardware.processes / hardware.nodes * loaders(hardware) * PREFETCHED * batch)
    return found


def transformer_gflops(parameters: float, shape: Transformer, tokens: float) -> float:
    """Forward pass over `tokens`: two operations a parameter and token, and causal attention."""
    return (2 * parameters * tokens + 2 * shape.layers * shape.hidden * tokens**2) / GIGA


def _sample_gflops(config: Config, stage: Stage, found: Backbones, size: SetSize, tokens: float) -> float:
    """Forward and backward of one sample.

    The gradient passes through a frozen LLM too (one more forward's worth, two if its weights learn); checkpointing
    adds one forward. The text encoder reads every frame once per round.
    """
    again = int(stage.gradient_checkpointing)
    llm = transformer_gflops(found.llm.parameters, found.llm.shape, tokens)
    llm *= 2 + again + ("llm" in stage.trainable)
    reading = 0.0 if config.network.encoder == "blind" else size.rounds * size.frames * found.qformer.gflops
    reading *= 3 + again if "dpe_cce" in stage.trainable else 1
    connector = connector_parameters(config, found)
    passes = 2 * (connector["projectors"] + connector["rest"]) * tokens / GIGA
    return llm + reading + passes * 3


def _backbone_work(config: Config, name: str, gpus: int) -> Work:
    settings, found = getattr(config.backbones, name), getattr(backbones(config), name)
    if settings.source == "train":
        return Work("sample", settings.steps * settings.batch_size, gpus=gpus)
    return Work("file", 1, gpus=gpus, keeps=found.gigabytes, downloads=found.gigabytes)


def _answer_work(config: Config, names: Iterable[str], gpus: int) -> Work:
    found = backbones(config)
    questions = frames = gflops = 0.0
    for name in names:
        size = set_size(config, name)
        tokens = sample_tokens(config, size) + ANSWER_TOKENS
        each = transformer_gflops(found.llm.parameters, found.llm.shape, tokens) + size.frames * found.qformer.gflops
        questions += size.samples
        frames += size.samples * size.frames
        gflops += size.samples * each
    shards = config.evaluation.shards
    mean = frames / questions if questions else 0.0
    return Work("question", questions / shards, gflops=gflops / shards, gpus=gpus, frames=mean)
