"""Runs and report items: config/experiments.yaml, typed.

A *run* is a name and its differences from the profile; an *item* is a table or a figure of the
report and names the runs and benchmarks that it needs. A variant of the paper is an entry of that
file, never a branch in the code. A difference may give a whole number as a share of the profile's
own, `event_prototypes: 220 %`: then a sweep of the paper keeps its meaning in a smaller profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from dynfocus.config.load import Layer, checked, merge, read_mapping, validate
from dynfocus.config.nearest import require_known
from dynfocus.config.schema import WEIGHTLESS, Benchmark, Config, Line, Once, Section, Seeds, TrainingSet
from dynfocus.errors import UserError

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
NOTEBOOK = r"^(\w[\w.-]*/)*\w[\w.-]*\.ipynb$"
SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
ALL = "all"
DIFFERENCES = ("network", "alignment", "instruction", "evaluation")


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(
            "a name must be at most 100 lower-case letters, digits and underscores, beginning with a letter"
        )
    return text


Name = Annotated[str, AfterValidator(_name)]


class Run(Section):
    """One trained and evaluated model: its differences from the profile."""

    title: Line = Field(description="How tables call the run.")
    weights: Name | None = Field(
        None, description="Run whose checkpoint answers; this run is not trained and differs in answering alone."
    )
    model: Line | None = Field(
        None,
        description="Hub id or folder of a video LLM of transformers (Video-LLaVA, LLaVA-NeXT-Video) that answers; "
        "this run is not ours and not trained.",
    )
    network: dict[str, Any] = Field({}, description="Differences in `network`.")
    alignment: dict[str, Any] = Field({}, description="Differences in `alignment`.")
    instruction: dict[str, Any] = Field({}, description="Differences in `instruction`.")
    evaluation: dict[str, Any] = Field({}, description="Differences in `evaluation`.")


Reads = Literal["scores", "answers", "alignment", "checkpoints", "data", "features", "backbones", "clip"]


class Item(Section):
    """One table or figure of the report."""

    title: Line = Field(description="Heading in the report.")
    notebook: str = Field(
        pattern=NOTEBOOK, description="File in notebooks/ that makes it; with a folder, the file there."
    )
    runs: Annotated[list[Name], Once] = Field([], description="Runs it shows.")
    benchmarks: Annotated[list[Benchmark], Once] = Field([], description="Benchmarks it shows.")
    datasets: Annotated[list[TrainingSet], Once] = Field([], description="Training sets it shows.")
    seeds: Seeds = Field([], description="Training seeds it averages over; empty: those of the profile.")
    measures: Name | None = Field(
        None, description="Module of dynfocus.measuring that makes what the notebook cannot read from scores."
    )
    reads: Annotated[list[Reads], Once] = Field(
        ["scores"],
        description="What it reads: the notebook `scores`, and the measurement anything else: `answers`, `alignment` "
        "(checkpoints of stage 1) and `checkpoints` of the runs, `data` and `features` of the sets, `backbones` (LLM "
        "and text encoder), `clip`.",
    )
    every_seed: bool = Field(False, description="Whether its measurement reads the models of every seed, not of one.")

    @property
    def notebook_file(self) -> Path:
        """The notebook, relative to where one runs."""
        return Path(self.notebook) if "/" in self.notebook else Path("notebooks", self.notebook)

    @model_validator(mode="after")
    def _notebooks_read_scores_alone(self) -> Item:
        others = [kind for kind in self.reads if kind != "scores"]
        if others and self.measures is None:
            raise ValueError(f"reads {others[0]}, which takes a measurement: name one in `measures`")
        return self


class Experiments(Section):
    """The whole file."""

    runs: dict[Name, Run]
    items: dict[Name, Item]


def load_experiments(file: Path, config: Config) -> Experiments:
    """Read and check the file: references must exist and every run must resolve against `config`.

    Items name the sets that stand for theirs (`substitutes` of the profile).
    """
    values = read_mapping(Path(file))
    experiments = validate(Experiments, values, [Layer(str(file), values)])
    for item in experiments.items.values():
        item.datasets[:] = in_place(item.datasets, config)
    for name, run in experiments.runs.items():
        if run.weights is not None:
            require_known(f"{file}: runs.{name}.weights", [run.weights], experiments.runs, "run")
            check_weights(file, name, run, experiments.runs[run.weights])
        if run.model is not None and (run.weights or run.network or run.alignment or run.instruction):
            raise UserError(
                f"{file}: runs.{name}: `model` names a finished model; remove weights, network, alignment, instruction"
            )
        run_config(config, experiments, name)
    for name, item in experiments.items.items():
        require_known(f"{file}: items.{name}.runs", item.runs, experiments.runs, "run")
    require_selection(config, experiments)
    return experiments


def run_config(config: Config, experiments: Experiments, name: str) -> Config:
    """The profile with the differences of run `name` applied, and before them those of the run it takes weights from.

    Raises UserError for an unknown run and for a difference that does not validate.
    """
    require_known("run", [name], experiments.runs, "run")
    run = experiments.runs[name]
    base = run_config(config, experiments, run.weights) if run.weights else config
    plain = base.model_dump()
    differences = {section: getattr(run, section) for section in DIFFERENCES if getattr(run, section)}
    differences = {section: resolve_shares(values, plain[section]) for section, values in differences.items()}
    layer = Layer(f"{config.experiments}: runs.{name}", differences)
    return substituted(checked(validate(Config, merge(plain, differences), [layer]), [layer]), name)


def substituted(config: Config, run: str) -> Config:
    """The configuration of a run with the sets that the profile puts in the place of others.

    Raises UserError where a stage is left without data.
    """
    stages = {}
    for name in ("alignment", "instruction"):
        stage = getattr(config, name)
        datasets = in_place(stage.datasets, config)
        if not datasets:
            raise UserError(
                f"substitutes: leave nothing of {name}.datasets ({', '.join(stage.datasets)}) in run {run}; "
                "name a set that takes its place"
            )
        stages[name] = stage.model_copy(update={"datasets": datasets})
    return config.model_copy(update=stages)


def in_place(datasets: Iterable[str], config: Config) -> list[str]:
    """Training sets with every substituted one replaced, each once."""
    return list(dict.fromkeys(other for name in datasets for other in config.substitutes.get(name, [name])))


def require_selection(config: Config, experiments: Experiments) -> None:
    """Raise a UserError where a profile selects something unknown, or nothing that its report items show."""
    require_known("items", [item for item in config.items if item != ALL], experiments.items, "report item")
    require_known("runs", [run for run in config.runs if run != ALL], experiments.runs, "run")
    items = [item for name, item in experiments.items.items() if ALL in config.items or name in config.items]
    for kind, chosen in (("runs", config.runs), ("benchmarks", config.benchmarks)):
        shown = dict.fromkeys(name for item in items for name in getattr(item, kind))
        if shown and ALL not in chosen and shown.keys().isdisjoint(chosen):
            raise UserError(
                f"{kind}: none of {', '.join(chosen)} is shown by the items {', '.join(config.items)}, so there is "
                f"nothing to make; choose from {', '.join(shown)}, or other items"
            )


def resolve_shares(values: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Values with every `220 %` of a whole number replaced by that share of `base`'s own, rounded, at least 1."""
    resolved = dict(values)
    for key, value in values.items():
        share = SHARE.fullmatch(value) if isinstance(value, str) else None
        if share and isinstance(base.get(key), int):
            resolved[key] = max(1, round(base[key] * float(share[1]) / 100))
    return resolved


def check_weights(file: Path, name: str, run: Run, lender: Run) -> None:
    """A run with borrowed weights must not ask for training, and its lender must be trained itself."""
    if run.alignment or run.instruction:
        raise UserError(
            f"{file}: runs.{name}: is not trained (`weights`); remove its alignment and instruction differences"
        )
    fixed = [key for key in run.network if key not in WEIGHTLESS]
    if fixed:
        raise UserError(
            f"{file}: runs.{name}.network.{fixed[0]}: cannot differ from that of the weights ({run.weights}); "
            f"only {', '.join(WEIGHTLESS)} can, or train the run itself"
        )
    if lender.weights is not None:
        raise UserError(f"{file}: runs.{name}.weights: {run.weights} is not trained itself; name {lender.weights}")
