"""One training stage from records and features to a finished checkpoint.

    alignment      plain_guided; starts from the backbones folder
    instruction    imgsp_v1; starts from a stage-1 checkpoint (from the backbones where there is nothing to align)

Rolling checkpoints live in `work` and survive a kill; the next start goes on from the newest whole one, to the same
losses. A warning that the job's time ends (`interruption`) saves one and stops. The finished model is written in `work`
and renamed to `out`: config, weights and processor files, `trainer_state.json`, `log.csv`, `coverage.json`,
`tensorboard/`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import GenerationConfig, PrinterCallback, TrainingArguments, set_seed
from transformers.utils.logging import disable_progress_bar

from dynfocus.config.schema import Config, Stage
from dynfocus.datasets import media_path
from dynfocus.errors import UserError, one_line
from dynfocus.machine.launch import barrier, is_main, join_processes, loaders
from dynfocus.prompts import Template
from dynfocus.steps.layout import Layout
from dynfocus.steps.settings import without_later
from dynfocus.training import base, budget, checkpoints, held_out, lora, memory
from dynfocus.training.artefact import save_artefact
from dynfocus.training.callbacks import CompleteMarker, LiveLine, TensorBoard
from dynfocus.training.contract import MAX_GRADIENT_NORM, Plan, deepspeed_config, make_plan
from dynfocus.training.data import (
    Collator,
    Coverage,
    Entry,
    EpochSampler,
    Samples,
    Store,
    frames_of,
    labelled,
    load_mixture,
    readable,
    shown,
)
from dynfocus.training.interruption import SaveInTime
from dynfocus.training.trainer import StageTrainer

if TYPE_CHECKING:
    from dynfocus.training.live import LiveEncoder

StageName = Literal["alignment", "instruction"]
TEMPLATES: dict[str, Template] = {"alignment": "plain_guided", "instruction": "imgsp_v1"}
KEPT_CHECKPOINTS = 2
# Queries and a short question: tokens of the text encoder per frame and prompt.
TEXT_ENCODER_TOKENS = 64


@dataclass(frozen=True)
class Job:
    """One training: which stage of which run, with what seed, from where to where."""

    config: Config
    run: str
    stage: StageName
    seed: int
    data_dir: Path
    features_dir: Path
    init: Path
    out: Path
    work: Path

    @property
    def settings(self) -> Stage:
        return getattr(self.config, self.stage)

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.settings.precision == "bf16" else torch.float32

    @property
    def backbones(self) -> Path:
        """The folder of the backbones that all trainings of the profile start from."""
        return Layout(Path(self.config.root)).backbones

    @property
    def title(self) -> str:
        return f"{self.stage} {self.run} seed {self.seed}"


def train_stage(
    config: Config,
    run: str,
    stage: StageName,
    seed: int,
    data_dir: Path,
    features_dir: Path,
    init: Path,
    out: Path,
    work: Path,
) -> None:
    """Train a stage, or go on with it, and write the finished model to `out`.

    Args:
        config: resolved configuration of the run; `run`: its name, for the live line.
        data_dir, features_dir: folders that hold one folder per set.
        init: backbones folder or checkpoint to start from.
        out: folder of the finished model, replaced as a whole.
        work: folder of the rolling checkpoints, on the file system of `out`; emptied at the end.

    Raises:
        UserError: settings that do not divide, too little data or memory, missing files; the job's time ends.
    """
    paths = (Path(path) for path in (data_dir, features_dir, init, out, work))
    job = Job(config, run, stage, seed, *paths)
    world = join_processes(config.hardware)
    if job.settings.four_bits and lora.PART not in job.settings.trainable and shared_llm(job) is None:
        raise UserError(
            f"{job.title}: frozen_llm nf4 leaves the LLM to {job.backbones / 'llm'}, which is not there; "
            "`dynfocus prepare-llm` makes it"
        )
    set_seed(seed)
    disable_progress_bar()
    model, processor = load_model(job)
    encoder = _encoder(job)
    samples, coverage, asked = _samples(job, model, processor, encoder)
    plan = make_plan(job.settings, len(samples), world)
    _prepare_work(job, samples, plan)
    in_time = SaveInTime()
    trainer = _trainer(job, model, processor, samples, plan, encoder)
    trainer.add_callback(in_time)
    if len(asked):
        watched = held_out.HeldOutLoss(asked, plan.micro_batch)
        watched.trainer = trainer
        trainer.add_callback(watched)
    newest = checkpoints.newest_complete(job.work)
    if is_main():
        _announce(job, plan, samples, coverage, newest)
    vary_noise(seed, trainer.args.process_index)
    trainer.train(resume_from_checkpoint=None if newest is None else str(newest))
    if in_time.stopped:
        raise UserError(
            f"{job.title}: the job's time ends; saved at step {trainer.state.global_step} of {plan.max_steps}, "
            "start it again to go on from there"
        )
    if lora.PART in job.settings.trainable:
        lora.merge_adapters(model)
    save_artefact(trainer, processor, coverage, job.out, job.work, shared_llm(job))
    barrier()


def shared_llm(job: Job) -> Path | None:
    """The folder of an LLM that the stage leaves as it is; None where the model must hold its own."""
    llm = job.backbones / "llm"
    learns = {"llm", lora.PART} & set(job.settings.trainable)
    return llm if not learns and (llm / "config.json").is_file() else None


def vary_noise(seed: int, rank: int) -> None:
    """Give the processes after the first a stream of their own for the draws of Top-K and for dropout.

    The rows of one batch draw apart from each other, and so must rows that lie in different processes.
    """
    if rank > 0:
        torch.manual_seed(seed + rank)


def load_model(job: Job) -> tuple[Any, Any]:
    """The network of a checkpoint, or built from its backbones; only the stage's parts learn. And its processor."""
    if (job.init / "config.json").is_file():
        model, processor = _from_checkpoint(job)
    else:
        from dynfocus.network.build import build_model

        model, processor = build_model(job.config, job.init, job.dtype)
    lora.choose_what_learns(model, job.settings, job.config.hardware.device)
    model.remember()
    if job.settings.gradient_checkpointing:
        # Newer transformers call it activation checkpointing.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable()
    return model, processor


def _from_checkpoint(job: Job) -> tuple[Any, Any]:
    """Weights of a checkpoint under the run's own network settings, which must leave every weight its place."""
    from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration, DynFocusProcessor

    config = DynFocusConfig.from_pretrained(job.init)
    for name, value in job.config.network.model_dump().items():
        setattr(config, name, value)
    apart = base.is_without_llm(job.init)
    model, found = DynFocusForConditionalGeneration.from_pretrained(
        None if apart else job.init,
        config=config,
        dtype=job.dtype,
        state_dict=base.weights(job.init, job.backbones / "llm", job.dtype) if apart else None,
        output_loading_info=True,
    )
    if apart:
        model.generation_config = GenerationConfig.from_pretrained(job.init)
    wrong = [str(key) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in found[kind]]
    if wrong:
        raise UserError(
            f"{job.init} does not fit the network of run {job.run}: {len(wrong)} weights differ, "
            f"first {sorted(wrong)[0]}; train the stage before it again"
        )
    return model, DynFocusProcessor.from_pretrained(job.init)


def _samples(
    job: Job, model: Any, processor: Any, encoder: LiveEncoder | None
) -> tuple[Samples, dict[str, Coverage], Samples]:
    """The samples to learn from, the coverage of each set, and the samples held out."""
    settings = job.settings
    entries = load_mixture(settings.datasets, job.data_dir, settings.max_rounds, job.config.max_samples)
    stores = {name: _store(job, name, entries, encoder) for name in settings.datasets}
    entries, coverage = readable(entries, stores, settings.min_coverage)
    entries, held = held_out.split(entries, settings.held_out) if settings.held_out else (entries, [])
    template, tokenizer = TEMPLATES[job.stage], processor.tokenizer
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None:
        limit = budget.Budget(tokenizer, template, settings.max_text_tokens, model.num_visual_tokens, positions)
        entries = budget.fit(entries, limit, lambda entry: frames_of(entry, stores))
        held = budget.fit(held, limit, lambda entry: frames_of(entry, stores))
    samples, asked = (
        Samples(some, stores, tokenizer, template, settings.max_text_tokens, job.seed) for some in (entries, held)
    )
    samples, coverage = labelled(samples, coverage, settings.min_coverage)
    silent = [index for index in range(len(asked)) if not asked.has_label(index)]
    if silent and is_main():
        print(f"{job.title}: {len(silent)} of {len(asked)} samples held out have no label; left out", file=sys.stderr)
    asked = asked.without(silent)
    return samples, coverage, asked


def _store(job: Job, name: str, entries: Sequence[Entry], encoder: LiveEncoder | None) -> Store:
    """What is read of a set: its cached features, or its films where it is encoded on the fly."""
    if encoder is None or name not in job.config.on_the_fly:
        from dynfocus.features.store import FeatureStore

        return FeatureStore(job.features_dir / name)
    from dynfocus.features.live import FilmStore

    paths = (media_path(entry.record) for entry in entries if entry.set_name == name)
    media = [path for path in paths if path is not None]
    threads = job.config.hardware.threads
    return FilmStore(job.data_dir / name, media, job.config.video, job.work.parent, threads, encoder.tower.mean)


def _encoder(job: Job) -> LiveEncoder | None:
    """The visual encoder of a stage that reads films of some set itself."""
    if not set(job.settings.datasets) & set(job.config.on_the_fly):
        return None
    from dynfocus.features.extract import compute_type
    from dynfocus.network import clip
    from dynfocus.network.vision import load_vision_tower
    from dynfocus.training.live import LiveEncoder

    tower = load_vision_tower(clip.load(job.backbones / "clip").visual, job.config.backbones.clip.layer)
    tower = tower.to(job.config.hardware.device, compute_type(job.config))
    return LiveEncoder(tower, job.config.feature_precision, job.dtype)


def _prepare_work(job: Job, samples: Samples, plan: Plan) -> None:
    """Bind the work folder to this training and clear what a kill or another training left in it."""
    if is_main():
        identity = {
            "stage": job.stage,
            "settings": without_later(job.settings.model_dump(exclude={"micro_batch", "zero_stage", "save_steps"})),
            "network": job.config.network.model_dump(),
            "seed": job.seed,
            "samples": samples.digest(),
            "init": checkpoints.folder_state(job.init),
        }
        divided = deepspeed_config(job.settings, plan, job.config.hardware.device)["zero_optimization"]["stage"]
        layout = {"processes": plan.world, "zero_stage": divided}
        if checkpoints.claim(job.work, identity, layout):
            print(f"{job.title}: {job.work} belonged to other settings or data; starting at step 0", file=sys.stderr)
        for broken in checkpoints.remove_incomplete(job.work):
            print(f"{job.title}: {broken} is not whole; removed", file=sys.stderr)
    barrier()


def _trainer(
    job: Job, model: Any, processor: Any, samples: Samples, plan: Plan, encoder: LiveEncoder | None
) -> StageTrainer:
    settings = job.settings
    lengths = samples.lengths(model.num_visual_tokens)
    if job.config.hardware.device == "cuda":
        beside = 0 if encoder is None else encoder.bytes
        memory.check_device(model, settings, plan, _heaviest(job, samples, lengths), beside)
    require_reporters(job.config.report_to)
    trainer = StageTrainer(
        model=model,
        args=_arguments(job, plan),
        train_dataset=samples,
        data_collator=Collator(processor, job.dtype),
        order=EpochSampler(len(samples), plan.global_batch, job.seed, lengths if settings.group_by_length else None),
        encoder=encoder,
        peak_flops=_peak_flops(job),
        callbacks=[CompleteMarker(), LiveLine(job.title), TensorBoard(job.work / "tensorboard")],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _peak_flops(job: Job) -> float | None:
    """Operations a second of all devices at their peak rate; None where that is not known."""
    hardware = job.config.hardware
    if hardware.peak_tflops is None or hardware.device == "cpu":
        return None
    return hardware.peak_tflops * 1e12 * hardware.processes


def require_reporters(names: Sequence[str]) -> None:
    """Raise UserError where transformers cannot report to one of `names` here."""
    from transformers.integrations import get_available_reporting_integrations, get_reporting_integration_callbacks

    for name in names:
        try:
            get_reporting_integration_callbacks([name])
        except ValueError as error:
            raise UserError(f"report_to: {one_line(str(error))}") from error
        if name not in get_available_reporting_integrations():
            here = ", ".join(get_available_reporting_integrations()) or "none"
            raise UserError(
                f"report_to: {name} is not installed (installed: {here}); install its package, or leave it out"
            )


def _arguments(job: Job, plan: Plan) -> TrainingArguments:
    settings, hardware = job.settings, job.config.hardware
    cpu = hardware.device == "cpu"
    return TrainingArguments(
        output_dir=str(job.work),
        max_steps=plan.max_steps,
        per_device_train_batch_size=plan.micro_batch,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=plan.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.beta2,
        max_grad_norm=MAX_GRADIENT_NORM,
        optim="adamw_torch_fused",
        bf16=settings.precision == "bf16",
        deepspeed=deepspeed_config(settings, plan, hardware.device),
        use_cpu=cpu,
        seed=job.seed,
        data_seed=job.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=settings.save_steps,
        save_total_limit=KEPT_CHECKPOINTS,
        report_to=job.config.report_to,
        run_name=job.title,
        ddp_timeout=hardware.rank_timeout,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=loaders(hardware),
        dataloader_pin_memory=not cpu,
    )


def _heaviest(job: Job, samples: Samples, lengths: list[int]) -> memory.Load:
    """The load of the longest sample, which decides whether a step fits."""
    longest = max(range(len(samples)), key=lengths.__getitem__)
    prompts = max(1, len(samples[longest]["tokens"].prompts))
    return memory.Load(lengths[longest], prompts * samples.frames(longest), TEXT_ENCODER_TOKENS)


def _announce(job: Job, plan: Plan, samples: Samples, coverage: Mapping[str, Coverage], newest: Path | None) -> None:
    """Say what is about to run: data, division of the batch, and the step it starts from."""
    for name, share in coverage.items():
        if share.readable < share.total:
            print(f"{job.title}: {name} {share.readable} of {share.total} samples readable", file=sys.stderr)
        if share.unlabelled:
            print(
                f"{job.title}: {name} {len(share.unlabelled)} of {share.total} samples left out, their answers are cut "
                f"off: {one_line(shown(share.unlabelled))}",
                file=sys.stderr,
            )
    start = "" if newest is None else f", resuming from {newest.name}"
    print(
        f"{job.title}: {len(samples)} samples, {plan.max_steps} steps of {plan.global_batch} = "
        f"{plan.world} processes x {plan.micro_batch} x {plan.accumulation}, ZeRO-{job.settings.zero_stage}{start}",
        file=sys.stderr,
    )
