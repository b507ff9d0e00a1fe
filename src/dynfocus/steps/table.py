"""Every step of the workflow, in the order of the paper: what it makes, reads, depends on and asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dynfocus.config.extensions import module_of
from dynfocus.config.names import BENCHMARKS, OWN_SETS
from dynfocus.config.schema import Judge
from dynfocus.errors import UserError
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.settings import Slice
from dynfocus.steps.step import Step, one_gpu

StageName = Literal["alignment", "instruction"]
TRAINING_LOGS = ("log.csv", "trainer_state.json", "tensorboard/*")
DOWNLOADED_MEDIA = ("*/*",)
"""Real media count by the record of their download, `source.json`: hashing terabytes again would say nothing more."""


@dataclass(frozen=True)
class PrepareData(Step):
    """The raw files of a training set or benchmark, in their official layout."""

    set: str
    group = "data"
    rung = "stage1"

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.data / self.set

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.settings("prepare_data")

    def training_seed(self, jobs: Jobs) -> int:
        return jobs.config.world.seed

    def modules(self, jobs: Jobs) -> Sequence[str]:
        if jobs.config.source != "world":
            return ["dynfocus.ledger.prepare"]
        brought = module_of("world_sets", self.set)
        return ["dynfocus.world.export", *([brought] if brought and self.set not in OWN_SETS else [])]

    def apart(self, jobs: Jobs) -> Sequence[str]:
        return () if jobs.config.source == "world" else DOWNLOADED_MEDIA


@dataclass(frozen=True)
class VerifyData(Step):
    """What can be read of a set."""

    set: str
    keeps = False
    by_manifest = False

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.coverage(self.set)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        yield PrepareData(self.set)

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.settings("prepare_data")

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.ledger.coverage", *jobs.readers([self.set])]

    def threads(self, jobs: Jobs) -> int:
        return jobs.config.hardware.threads


@dataclass(frozen=True)
class _PrepareBackbone(Step):
    """A pretrained part: trained here at mini scale, else fetched."""

    group = "backbones"
    rung = "stage1"
    whole = True

    @classmethod
    def backbone(cls) -> str:
        """`clip`, `llm` or `qformer`."""
        return cls.rule().removeprefix("prepare_")

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.backbones / self.backbone()

    def files(self, jobs: Jobs) -> Sequence[Path]:
        return jobs.backbone_files(self.backbone())

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.settings(self.rule())

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return [f"dynfocus.backbones.{self.backbone()}"]

    def gpus(self, jobs: Jobs) -> int:
        return one_gpu(jobs)

    def threads(self, jobs: Jobs) -> int:
        return jobs.config.hardware.threads


@dataclass(frozen=True)
class PrepareClip(_PrepareBackbone):
    """The visual encoder, an open_clip checkpoint."""


@dataclass(frozen=True)
class PrepareLlm(_PrepareBackbone):
    """The language model with its tokenizer."""


@dataclass(frozen=True)
class PrepareQformer(_PrepareBackbone):
    """The text encoder, an InstructBLIP Q-Former on top of the visual encoder."""

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        yield PrepareClip()


@dataclass(frozen=True)
class PrepareModel(Step):
    """The model of a run that is not ours."""

    run: str

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.model(self.run)

    def files(self, jobs: Jobs) -> Sequence[Path]:
        file = Path(jobs.foreign(self.run) or "", "config.json")
        return [file] if file.is_file() else []

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.model_settings(self.run)

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.evaluation.answerers.foreign"]


@dataclass(frozen=True)
class ExtractFeatures(Step):
    """What the frozen visual encoder sees in every sampled frame of a set, one shard of it."""

    set: str
    shard: int
    shards: int

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.feature_shard(self.set, self.shard, self.shards)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        yield PrepareData(self.set)
        yield VerifyData(self.set)
        yield PrepareClip()

    def settings(self, jobs: Jobs) -> Slice:
        sample = jobs.settings("sample") if self.set in BENCHMARKS else {}
        return jobs.settings("extract_features") | sample

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.features.extract", *jobs.readers([self.set])]

    def gpus(self, jobs: Jobs) -> int:
        return one_gpu(jobs)

    def threads(self, jobs: Jobs) -> int:
        return jobs.config.hardware.threads


@dataclass(frozen=True)
class _Train(Step):
    """What both stages share."""

    whole = True

    def modules(self, jobs: Jobs) -> Sequence[str]:
        run, stage = self.trained(jobs)
        return [
            "dynfocus.training.stage",
            "dynfocus.network",
            *jobs.extension_modules(run),
            *jobs.readers(getattr(jobs.run(run), stage).datasets),
        ]

    def trained(self, jobs: Jobs) -> tuple[str, StageName]:
        """The run and the stage whose settings decide it."""
        raise NotImplementedError

    def files(self, jobs: Jobs) -> Sequence[Path]:
        return jobs.extension_files(self.trained(jobs)[0])

    def mixture(self, jobs: Jobs) -> Iterable[Step]:
        """Records and features of the training sets; of those encoded on the fly, the encoder and their films."""
        run, stage = self.trained(jobs)
        names = getattr(jobs.run(run), stage).datasets
        live = [name for name in names if name in jobs.config.on_the_fly]
        yield from (PrepareData(name) for name in names)
        yield from (VerifyData(name) for name in live)
        yield from [PrepareClip()] if live else []
        yield from (ExtractFeatures(*shard) for shard in jobs.training_shards(run, stage))

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.run_settings(self.trained(jobs)[0], self.rule())

    def apart(self, jobs: Jobs) -> Sequence[str]:
        return TRAINING_LOGS

    def gpus(self, jobs: Jobs) -> int:
        return jobs.config.hardware.gpus * one_gpu(jobs)

    def threads(self, jobs: Jobs) -> int:
        return jobs.config.hardware.threads


@dataclass(frozen=True)
class TrainAlignment(_Train):
    """Stage 1, vision-language alignment; runs with equal stage-1 settings share it under one key."""

    key: str
    group = "stage1"
    rung = "stage1"

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.alignment(self.key)

    def trained(self, jobs: Jobs) -> tuple[str, StageName]:
        return jobs.alignment(self.key)[0], "alignment"

    def training_seed(self, jobs: Jobs) -> int:
        return jobs.alignment(self.key)[1]

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        yield PrepareLlm()
        yield PrepareQformer()
        yield from self.mixture(jobs)


@dataclass(frozen=True)
class TrainInstruction(_Train):
    """Stage 2, instruction tuning of one run, from its stage-1 checkpoint."""

    run: str
    seed: int
    group = "checkpoints"
    rung = "checkpoints"

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.instruction(self.run, self.seed)

    def trained(self, jobs: Jobs) -> tuple[str, StageName]:
        return self.run, "instruction"

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        """A blind model has no connector to align and starts from the backbones; stage 1 does not hold its LLM."""
        if jobs.has_alignment(self.run):
            yield TrainAlignment(jobs.alignment_key(self.run, self.seed))
            yield PrepareLlm()
        else:
            yield PrepareLlm()
            yield PrepareQformer()
        yield from self.mixture(jobs)


def model_of(jobs: Jobs, run: str, seed: int) -> Step:
    """The step that leaves the model that a run answers with."""
    return PrepareModel(run) if jobs.foreign(run) else TrainInstruction(jobs.weights_run(run), seed)


@dataclass(frozen=True)
class AnswerQuestions(Step):
    """The answers of a run to the questions of its benchmarks, one shard of them."""

    run: str
    seed: int
    shard: int
    shards: int
    group = "predictions"
    rung = "predictions"

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.answers(self.run, self.seed, self.shard, self.shards)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        yield model_of(jobs, self.run, self.seed)
        yield from (PrepareData(name) for name in jobs.benchmarks(self.run))
        yield from (ExtractFeatures(*shard) for shard in jobs.benchmark_shards(self.run))

    def files(self, jobs: Jobs) -> Sequence[Path]:
        return jobs.extension_files(self.run)

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.run_settings(self.run, "answer_questions") | {"benchmarks": jobs.benchmarks(self.run)}

    def modules(self, jobs: Jobs) -> Sequence[str]:
        kind = "foreign" if jobs.foreign(self.run) else "own"
        return [
            "dynfocus.evaluation.answer",
            f"dynfocus.evaluation.answerers.{kind}",
            *jobs.extension_modules(self.run),
            *jobs.readers(jobs.benchmarks(self.run)),
        ]

    def gpus(self, jobs: Jobs) -> int:
        return one_gpu(jobs)

    def threads(self, jobs: Jobs) -> int:
        return jobs.config.hardware.threads


def answers_of(jobs: Jobs, run: str, seed: int) -> list[AnswerQuestions]:
    """All shards of the answers of a run."""
    total = jobs.run(run).evaluation.shards
    return [AnswerQuestions(run, seed, shard, total) for shard in range(total)]


@dataclass(frozen=True)
class JudgeAnswers(Step):
    """The marked answers of a run."""

    run: str
    seed: int
    group = "predictions"
    rung = "scores"
    keeps = False
    by_manifest = False

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.verdicts(self.run, self.seed)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        yield from answers_of(jobs, self.run, self.seed)
        yield from (PrepareData(name) for name in jobs.benchmarks(self.run))

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.run_settings(self.run, "judge_answers")

    def judge(self, jobs: Jobs) -> Judge:
        """Who marks them."""
        return jobs.run(self.run).evaluation.judge

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.evaluation.judge", *jobs.readers(jobs.benchmarks(self.run))]


@dataclass(frozen=True)
class JudgeAgain(JudgeAnswers):
    """The same answers marked by the second judge: no score is made from them, only the table of agreement."""

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.second_verdicts(self.run, self.seed)

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.run_settings(self.run, "judge_again")

    def judge(self, jobs: Jobs) -> Judge:
        """Raises UserError where none is set, or one whose marks are those of the first by construction."""
        first, second = jobs.run(self.run).evaluation.judge, jobs.run(self.run).evaluation.second_judge
        if second is None:
            raise UserError("evaluation.second_judge: it is not set; name another judge, or `repeat: 1` of the same")
        settings = jobs.run_settings(self.run, "judge_answers")["evaluation.judge"]
        same = settings == self.settings(jobs)["evaluation.second_judge"]
        if same or first.kind == second.kind == "rule":
            raise UserError(
                "evaluation.second_judge: it gives the verdicts of evaluation.judge once more, so they agree in all; "
                "name another judge, or `repeat: 1` of a served one"
            )
        return second


def judged_twice(jobs: Jobs) -> list[tuple[JudgeAnswers, JudgeAgain]]:
    """The verdicts of both judges on the same answers, for every run with a second judge that is scored."""
    pairs = [pair for pair in jobs.evaluations if jobs.run(pair[0]).evaluation.second_judge is not None]
    return [(JudgeAnswers(*pair), JudgeAgain(*pair)) for pair in pairs]


@dataclass(frozen=True)
class ScoreAnswers(Step):
    """The metrics of a run with intervals, coverage and failures, and a line for each sample."""

    run: str
    seed: int
    group = "results"
    rung = "scores"
    keeps = False
    by_manifest = False

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.scores(self.run, self.seed)

    def also(self, jobs: Jobs) -> tuple[Path, ...]:
        return (self.path(jobs).with_suffix(".samples.jsonl"),)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        yield from answers_of(jobs, self.run, self.seed)
        yield JudgeAnswers(self.run, self.seed)
        yield from (PrepareData(name) for name in jobs.benchmarks(self.run))

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.run_settings(self.run, "score_answers") | {"benchmarks": jobs.benchmarks(self.run)}

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.evaluation.score", *jobs.readers(jobs.benchmarks(self.run))]


@dataclass(frozen=True)
class MeasureItem(Step):
    """What a table or figure needs a model, films or logs for, as one JSON file."""

    item: str
    group = "results"
    rung = "scores"
    by_manifest = False

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.measurement(self.item)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        reads = jobs.item(self.item).reads
        for run, seed in jobs.item_models(self.item):
            if "alignment" in reads and jobs.has_alignment(run):
                yield TrainAlignment(jobs.alignment_key(run, seed))
            if "checkpoints" in reads:
                yield TrainInstruction(run, seed)
        if "answers" in reads:
            yield from (step for pair in jobs.item_evaluations(self.item) for step in answers_of(jobs, *pair))
        if "data" in reads:
            yield from (PrepareData(name) for name in jobs.item_sets(self.item))
        if "features" in reads:
            yield from (ExtractFeatures(*shard) for shard in jobs.item_shards(self.item))
        if "backbones" in reads:
            yield from (PrepareLlm(), PrepareQformer())
        if "clip" in reads:
            yield PrepareClip()

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.item_settings(self.item) | jobs.settings("measure_item")

    def modules(self, jobs: Jobs) -> Sequence[str]:
        sets = jobs.item_sets(self.item) if {"data", "answers"} & set(jobs.item(self.item).reads) else []
        return [f"dynfocus.measuring.{jobs.item(self.item).measures}", *jobs.readers(sets)]

    def gpus(self, jobs: Jobs) -> int:
        return one_gpu(jobs)

    def threads(self, jobs: Jobs) -> int:
        return jobs.config.hardware.threads


@dataclass(frozen=True)
class ExecuteNotebook(Step):
    """The notebook of a table or figure, executed, and its page."""

    item: str
    keeps = False
    by_manifest = False

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.notebook(self.item, "ipynb")

    def also(self, jobs: Jobs) -> tuple[Path, ...]:
        return (jobs.layout.notebook(self.item, "html"),)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        if "scores" in jobs.item(self.item).reads:
            yield from (ScoreAnswers(*pair) for pair in jobs.item_evaluations(self.item))
        if jobs.item(self.item).measures:
            yield MeasureItem(self.item)

    def files(self, jobs: Jobs) -> Sequence[Path]:
        return [jobs.item(self.item).notebook_file]

    def settings(self, jobs: Jobs) -> Slice:
        return jobs.item_settings(self.item)

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.reporting"]


@dataclass(frozen=True)
class ExecuteTutorial(Step):
    """The notebook that follows one film through the trained model to an answer, executed, and its page."""

    keeps = False
    by_manifest = False

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.tutorial("ipynb")

    def also(self, jobs: Jobs) -> tuple[Path, ...]:
        return (jobs.layout.tutorial("html"),)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        yield model_of(jobs, "dynfocus", jobs.config.seeds[0])
        yield PrepareClip()
        yield PrepareData("msvd_qa")

    def files(self, jobs: Jobs) -> Sequence[Path]:
        return [Path("notebooks/tutorial.ipynb")]

    def settings(self, jobs: Jobs) -> Slice:
        return {"profile": jobs.config.profile, "seed": jobs.config.seeds[0]}

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.chat.tutorial", "dynfocus.reporting.notebooks"]

    def gpus(self, jobs: Jobs) -> int:
        return one_gpu(jobs)

    def threads(self, jobs: Jobs) -> int:
        return jobs.config.hardware.threads


@dataclass(frozen=True)
class RenderReport(Step):
    """One page of everything that was made."""

    keeps = False
    by_manifest = False

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.report

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        notebooks = [ExecuteNotebook(item) for item in jobs.items]
        yield from notebooks
        # The page reads what they read, and a pulled notebook brings none of it.
        yield from dict.fromkeys(before for notebook in notebooks for before in notebook.inputs(jobs))
        yield from (step for pair in judged_twice(jobs) for step in pair)

    def files(self, jobs: Jobs) -> Sequence[Path]:
        return _carried_evidence(jobs)

    def settings(self, jobs: Jobs) -> Slice:
        return {"items": list(jobs.items)}

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.reporting"]


@dataclass(frozen=True)
class TestClaims(Step):
    """The paper's direction claims, tested on all evidence; what is missing of `claim_seeds` is scored first."""

    keeps = False
    by_manifest = False

    def path(self, jobs: Jobs) -> Path:
        return jobs.layout.claims

    def also(self, jobs: Jobs) -> tuple[Path, ...]:
        return (jobs.layout.evidence,)

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        from dynfocus.steps.claims import missing_evaluations

        yield from (ScoreAnswers(*pair) for pair in missing_evaluations(jobs))

    def files(self, jobs: Jobs) -> Sequence[Path]:
        return _carried_evidence(jobs)

    def settings(self, jobs: Jobs) -> Slice:
        return {"profile": jobs.config.profile, "seeds": jobs.config.claim_seeds}

    def modules(self, jobs: Jobs) -> Sequence[str]:
        return ["dynfocus.reporting", "dynfocus.evaluation"]


def _carried_evidence(jobs: Jobs) -> Sequence[Path]:
    """What the repository carries of earlier trainings; the claims are tested on it too."""
    from dynfocus.evaluation.evidence import carried_evidence

    return carried_evidence(jobs.config.profile)


STEPS: dict[str, type[Step]] = {
    step.rule(): step
    for step in (
        PrepareData,
        VerifyData,
        PrepareClip,
        PrepareLlm,
        PrepareQformer,
        PrepareModel,
        ExtractFeatures,
        TrainAlignment,
        TrainInstruction,
        AnswerQuestions,
        JudgeAnswers,
        JudgeAgain,
        ScoreAnswers,
        MeasureItem,
        ExecuteNotebook,
        ExecuteTutorial,
        RenderReport,
        TestClaims,
    )
}


def needed(jobs: Jobs, targets: Iterable[Step]) -> list[Step]:
    """Every step that `targets` need, themselves included, each once and after what it reads."""
    done: dict[Step, None] = {}

    def visit(step: Step) -> None:
        if step not in done:
            for before in step.inputs(jobs):
                visit(before)
            done[step] = None

    for target in targets:
        visit(target)
    return list(done)


def input_paths(jobs: Jobs, step: Step) -> list[Path]:
    """What a step reads, as its manifest records it: files of the repository, then what other steps made."""
    return [*step.files(jobs), *(before.path(jobs) for before in step.inputs(jobs))]


def name_of(jobs: Jobs, step: Step) -> str:
    """The path of what a step makes below the root, by which the index and the commands know it."""
    return step.path(jobs).relative_to(jobs.layout.root).as_posix()


def is_done(jobs: Jobs, step: Step) -> bool:
    """Whether what it makes and what says so are there."""
    return all(path.exists() for path in (step.path(jobs), *step.outputs(jobs)))
