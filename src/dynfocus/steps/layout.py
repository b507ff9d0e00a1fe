"""Where each artefact lives below the profile's `root`; the rules of the workflow declare the same paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below one root."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration of the last run, resolved."""
        return self.root / "work" / "config.yaml"

    @property
    def experiments(self) -> Path:
        return self.root / "work" / "experiments.yaml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def backbones(self) -> Path:
        return self.root / "backbones"

    @property
    def features(self) -> Path:
        return self.root / "features"

    @property
    def results(self) -> Path:
        return self.root / "results"

    def coverage(self, dataset: str) -> Path:
        """What can be read of a set."""
        return self.results / "coverage" / f"{dataset}.json"

    @property
    def report(self) -> Path:
        return self.results / "report.html"

    def feature_shard(self, dataset: str, shard: int, num_shards: int) -> Path:
        return self.features / dataset / f"shard-{shard}-of-{num_shards}.safetensors"

    def alignment(self, key: str) -> Path:
        return self.root / "checkpoints" / "alignment" / key

    def instruction(self, run: str, seed: int) -> Path:
        return self.root / "checkpoints" / "instruction" / run / f"seed-{seed}"

    def model(self, run: str) -> Path:
        """The model of a run that is not ours."""
        return self.root / "checkpoints" / "models" / run

    def answers(self, run: str, seed: int, shard: int, num_shards: int) -> Path:
        return self.results / "answers" / run / f"seed-{seed}" / f"shard-{shard}-of-{num_shards}.jsonl"

    def verdicts(self, run: str, seed: int) -> Path:
        return self.results / "verdicts" / run / f"seed-{seed}.jsonl"

    def second_verdicts(self, run: str, seed: int) -> Path:
        """The marks of the second judge, which no score is made from."""
        return self.results / "second_verdicts" / run / f"seed-{seed}.jsonl"

    def scores(self, run: str, seed: int) -> Path:
        return self.results / "scores" / run / f"seed-{seed}.json"

    def measurement(self, item: str) -> Path:
        """What was measured for an item of the report."""
        return self.results / "measurements" / f"{item}.json"

    @property
    def times(self) -> Path:
        """Snakemake's records of the time and memory of every job."""
        return self.root / "logs" / "times"

    @property
    def claims(self) -> Path:
        return self.results / "claims.json"

    @property
    def evidence(self) -> Path:
        """How every question came out, for every training that the claims are tested on."""
        return self.results / "claims"

    @property
    def judge_replies(self) -> Path:
        return self.results / "judge_replies"

    def notebook(self, item: str, suffix: str) -> Path:
        return self.results / "notebooks" / f"{item}.{suffix}"

    def tutorial(self, suffix: str) -> Path:
        return self.results / f"tutorial.{suffix}"

    @property
    def run_lock(self) -> Path:
        """The file whose lock a run of the workflow holds."""
        return self.root / "work" / "run.lock"

    def lock(self, step: str, key: str) -> Path:
        """The file whose lock the one process that works on a step holds."""
        return self.root / "work" / "locks" / f"{step}-{key}.lock"

    def work(self, step: str, key: str) -> Path:
        """Unfinished work of a step that a kill must not lose; no rule declares it."""
        return self.root / "work" / step / key
