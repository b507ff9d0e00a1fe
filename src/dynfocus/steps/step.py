"""What a step is: one job of the workflow, with everything that the project knows about it.

A class is a rule, its fields are the rule's wildcards, and an instance is one job:

    TrainInstruction(run="dynfocus", seed=0).inputs(jobs)

Rules, `plan`, manifests, `why`, publishing and pulling all ask these methods; none keeps a list of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal, Self

from dynfocus.config.schema import StartFrom
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import manifest_path
from dynfocus.steps.settings import Slice

Group = Literal["data", "backbones", "stage1", "checkpoints", "predictions", "results"]
"""What a person pulls alone: one `.dvc` file."""


@dataclass(frozen=True)
class Step:
    """One job. What a subclass does not say is as here: one thread, no GPU, nothing read, never published."""

    group: ClassVar[Group | None] = None
    """Where what it makes is published."""
    rung: ClassVar[StartFrom | None] = None
    """The first `start_from` at which the published one may take its place."""
    keeps: ClassVar[bool] = True
    """Whether finished work is recognized and not done again; what takes a second or two is always done."""
    by_manifest: ClassVar[bool] = True
    """Whether the manifest of what it makes says that it is done; a few small files say so themselves."""
    whole: ClassVar[bool] = False
    """Whether whoever reads it hashes all of its bytes first: all that follows depends on a few files."""

    @classmethod
    def rule(cls) -> str:
        """The name of the rule."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def command(cls) -> str:
        """The command of `dynfocus` that does it."""
        return cls.rule().replace("_", "-")

    @classmethod
    def of(cls, wildcards: object) -> Self:
        """The step of the wildcards of a rule, which are text."""
        kinds = {"int": int, "str": str}
        return cls(**{field.name: kinds[str(field.type)](getattr(wildcards, field.name)) for field in fields(cls)})

    @property
    def wildcards(self) -> tuple[str | int, ...]:
        """The values of the wildcards, in the rule's order."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @property
    def name(self) -> str:
        """The wildcards as logs and records of time have them in their paths: `dynfocus/seed-0/shard-0-of-8`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        numbers = {"seed": "seed-{seed}", "shard": "shard-{shard}-of-{shards}", "shards": ""}
        return "/".join(part for name in values if (part := numbers.get(name, f"{{{name}}}").format(**values)))

    def __str__(self) -> str:
        return f"{self.command()} {self.name}".rstrip()

    def path(self, jobs: Jobs) -> Path:
        """The folder or file that it makes."""
        raise NotImplementedError

    def outputs(self, jobs: Jobs) -> tuple[Path, ...]:
        """The files whose existence says that it is done: its manifest, or what it makes (`by_manifest`)."""
        return (manifest_path(self.path(jobs)),) if self.by_manifest else (self.path(jobs), *self.also(jobs))

    def also(self, jobs: Jobs) -> tuple[Path, ...]:
        """Files beside `path` that belong to it and have no manifest of their own."""
        return ()

    def inputs(self, jobs: Jobs) -> Iterable[Step]:
        """The steps whose results it reads."""
        return ()

    def files(self, jobs: Jobs) -> Sequence[Path]:
        """Files of the repository that it reads."""
        return ()

    def settings(self, jobs: Jobs) -> Slice:
        """The settings that decide what it makes: it runs again when they change."""
        raise NotImplementedError

    def training_seed(self, jobs: Jobs) -> int | None:
        """The seed that its manifest records."""
        return getattr(self, "seed", None)

    def modules(self, jobs: Jobs) -> Sequence[str]:
        """The modules that do the work; with all that they import they are its code (`steps.code`)."""
        raise NotImplementedError

    def apart(self, jobs: Jobs) -> Sequence[str]:
        """Patterns of files in a folder that do not count as its content, such as logs with wall times."""
        return ()

    def gpus(self, jobs: Jobs) -> int:
        """GPUs that it holds, over all machines."""
        return 0

    def threads(self, jobs: Jobs) -> int:
        """CPU threads that it uses."""
        return 1


def one_gpu(jobs: Jobs) -> int:
    """1 where models run on GPUs."""
    return int(jobs.config.hardware.device == "cuda")
