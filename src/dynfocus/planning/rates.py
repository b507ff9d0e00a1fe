"""Seconds that a job takes on given hardware, and where the number comes from.

In this order: the job's own record, where it ran in this folder; on a CPU the same job of the published run, else the
rates of the mini and smoke runs; on GPUs the paper's own hours (Table 2) and latencies (Table 4), scaled by work and
peak rate.
"""

from __future__ import annotations

from dataclasses import dataclass

from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.files import hash_of
from dynfocus.planning.models import backbones
from dynfocus.planning.tables import number, rows
from dynfocus.planning.work import Work
from dynfocus.steps.index import find_index
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.step import Step
from dynfocus.steps.table import JudgeAnswers, name_of
from dynfocus.steps.times import recorded_seconds

PAPER_GPU = "a100"
# Share of the peak rate that Table 2's hours on 8 A100 come to, for the work counted here on the full mixture.
TABLE_2_UTILISATION = {"train_alignment": 0.108, "train_instruction": 0.166}
EXTRACTION_UTILISATION = 0.35
# What well-made trainings of 7 B transformers reach: the lower bound of the hours.
BEST_UTILISATION = 0.4
# Table 4 on one A100: 1.4 s a question of MSVD-QA (10 frames), 6.4 s of ActivityNet-QA (117 frames), Vicuna-7B.
ANSWER_SECONDS, ANSWER_FRAMES, SECONDS_PER_FRAME = 1.4, 10, (6.4 - 1.4) / 107
PAPER_LLM_PARAMETERS = 6.738e9
# However small the LLM is, what surrounds it takes its time.
SMALLEST_SHARE = 0.1
# SmolLM2-135M in fp32 on two cores: forward and backward of 400 tokens in 2.8 s.
CPU_GFLOPS = 116
DOWNLOAD_GIGABYTES_PER_SECOND = 0.05
JUDGE_SECONDS = 2.0
VERIFY_SECONDS = 0.1
START_SECONDS = 60


@dataclass(frozen=True)
class Gpu:
    """A GPU: peak rate in bf16 and memory, from its data sheet, and what an hour of it costs where that is recorded."""

    name: str
    tflops: float
    gigabytes: float
    dollars: float | None = None


@dataclass(frozen=True)
class Duration:
    """Seconds of one job and the source of the number; `least`: the same at the best share of the peak rate."""

    seconds: float
    source: str
    least: float


def gpu(name: str) -> Gpu:
    """A recorded GPU.

    Raises:
        UserError: it is not recorded; names those that are.
    """
    known = rows("gpus", "name")
    key = name.lower().replace(" ", "").replace("-", "")
    if key not in known:
        raise UserError(f"--gpu {name}: no such GPU is recorded; choose from {', '.join(known)}")
    row = known[key]
    return Gpu(key, float(row["tflops"]), float(row["gigabytes"]), number(row["dollars_per_hour"]))


def duration(jobs: Jobs, step: Step, work: Work, card: Gpu) -> Duration:
    """How long a job takes on this hardware."""
    config = jobs.config
    own = recorded_seconds(jobs, step)
    if own is not None:
        return Duration(own, "recorded in this folder", own)
    if config.hardware.device == "cpu" and work.unit != "file":
        return _published(jobs, step) or _on_cpu(step, work)
    seconds, source = _on_gpu(jobs, step, work, card)
    best = START_SECONDS + (work.gflops + work.live_gflops) / (BEST_UTILISATION * card.tflops * 1e3 * max(1, work.gpus))
    return Duration(seconds, source, min(seconds, best) if work.gflops else seconds)


def encoding_seconds(gflops: float, card: Gpu) -> float:
    """Seconds of one GPU for this much work of the visual encoder."""
    return gflops / (EXTRACTION_UTILISATION * card.tflops * 1e3)


def _published(jobs: Jobs, step: Step) -> Duration | None:
    """The time of the same job in the published run, and where that ran; None where it is another job."""
    index, name = find_index(jobs.layout.root), name_of(jobs, step)
    if index is None or name not in index.seconds:
        return None
    manifest = index.manifests[name]
    if manifest["settings_hash"] != hash_of(step.settings(jobs)):
        return None
    where = manifest["machine"]
    source = f"published run of {manifest['finished'][:10]}, {where['cores']} cores of {where['processor']}"
    return Duration(index.seconds[name], source, index.seconds[name])


def _on_cpu(step: Step, work: Work) -> Duration:
    row = rows("recorded", "rule")[step.rule()]
    recorded = float(row["fixed_seconds"]) + float(row["seconds_per_unit"]) * work.units
    counted = work.gflops / CPU_GFLOPS
    if counted > 2 * recorded:
        return Duration(counted, "work at the rate of SmolLM2-135M on two CPU cores", counted)
    return Duration(recorded, f"{row['source']} on two CPU cores", recorded)


def _on_gpu(jobs: Jobs, step: Step, work: Work, card: Gpu) -> tuple[float, str]:
    """Seconds as calibrated, and their source."""
    config = jobs.config
    if step.rule() in TABLE_2_UTILISATION:
        gpus = max(1, work.gpus)
        rate = TABLE_2_UTILISATION[step.rule()] * card.tflops * 1e3 * gpus
        live = encoding_seconds(work.live_gflops, card) / gpus
        return START_SECONDS + work.gflops / rate + live, "work at the rate of Table 2"
    if step.rule() == "extract_features":
        source = f"work at {EXTRACTION_UTILISATION:.0%} of the peak rate"
        return START_SECONDS + encoding_seconds(work.gflops, card), source
    if step.rule() == "answer_questions":
        return _answer_seconds(config, work, card), "latency of Table 4, scaled by frames, LLM and GPU"
    if isinstance(step, JudgeAnswers):
        judge = step.judge(jobs)
        pace = max(JUDGE_SECONDS / judge.concurrency, 60 / judge.requests_per_minute)
        return work.judge_calls * pace, "assumed: two seconds a reply, the profile's limits"
    if step.rule() == "verify_data":
        seconds = START_SECONDS + work.units * VERIFY_SECONDS / config.hardware.threads
        return seconds, "assumed: a tenth of a second to open a film or image"
    if work.downloads:
        return work.downloads / DOWNLOAD_GIGABYTES_PER_SECOND, "assumed: 50 MB/s"
    return START_SECONDS, "assumed: a minute"


def _answer_seconds(config: Config, work: Work, card: Gpu) -> float:
    """Table 4's latency for this many frames, at the size of this LLM and the peak rate of this GPU."""
    paper = ANSWER_SECONDS + SECONDS_PER_FRAME * max(0.0, work.frames - ANSWER_FRAMES)
    speed = card.tflops / gpu(PAPER_GPU).tflops
    share = max(SMALLEST_SHARE, backbones(config).llm.parameters / PAPER_LLM_PARAMETERS)
    return START_SECONDS + work.units * paper * share / speed
