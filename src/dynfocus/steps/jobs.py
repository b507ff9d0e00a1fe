"""What the workflow has to make for a configuration: every job follows from the selected report items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml

from dynfocus.config.experiments import Experiments, Item, load_experiments, require_known, run_config
from dynfocus.config.extensions import BUILT_IN, in_file, module_of
from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.files import hash_of, write_text
from dynfocus.steps.code import readers
from dynfocus.steps.layout import Layout
from dynfocus.steps.settings import Slice, alignment_key, settings_of


@dataclass(frozen=True, eq=False)
class Jobs:
    """The jobs of one configuration; names of runs, items and sets are the keys of the experiments."""

    config: Config
    experiments: Experiments

    @classmethod
    def load(cls, config: Config) -> Jobs:
        """The jobs of `config` with the experiments file that it names. Raises UserError where `root` is no folder."""
        root = Path(config.root)
        if root.exists() and not root.is_dir():
            raise UserError(f"root: {root} is a file; name a folder, or move it away")
        return cls(config, load_experiments(Path(config.experiments), config))

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.config.root))

    # What is selected

    @cached_property
    def items(self) -> dict[str, Item]:
        """The report items to build, in the order of the file."""
        chosen = self.config.items
        return {name: item for name, item in self.experiments.items.items() if "all" in chosen or name in chosen}

    def item(self, name: str) -> Item:
        require_known("item", [name], self.experiments.items, "report item")
        return self.experiments.items[name]

    def item_runs(self, item: str) -> list[str]:
        """Runs of an item that this configuration makes."""
        chosen = self.config.runs
        return [run for run in self.item(item).runs if "all" in chosen or run in chosen]

    def item_benchmarks(self, item: str) -> list[str]:
        """Benchmarks of an item that this configuration scores."""
        chosen = self.config.benchmarks
        return [name for name in self.item(item).benchmarks if "all" in chosen or name in chosen]

    def item_seeds(self, item: str) -> list[int]:
        return self.item(item).seeds or self.config.seeds

    def item_evaluations(self, item: str) -> list[tuple[str, int]]:
        """The (run, seed) pairs whose scores or answers an item shows."""
        if not {"scores", "answers"} & set(self.item(item).reads) or not self.item_benchmarks(item):
            return []
        return [(run, seed) for run in self.item_runs(item) for seed in self.item_seeds(item)]

    def item_models(self, item: str) -> list[tuple[str, int]]:
        """The trained (run, seed) pairs whose checkpoints an item may read; for most the first seed is enough."""
        seeds = self.item_seeds(item) if self.item(item).every_seed else self.item_seeds(item)[:1]
        ours = [run for run in self.item_runs(item) if not self.foreign(run)]
        return list(dict.fromkeys((self.weights_run(run), seed) for run in ours for seed in seeds))

    def item_sets(self, item: str) -> list[str]:
        """The training sets and benchmarks that an item is about."""
        return [*self.item(item).datasets, *self.item_benchmarks(item)]

    def item_shards(self, item: str) -> list[tuple[str, int, int]]:
        """(set, shard, number of shards) of the features of those sets."""
        return self._shards(self.item_sets(item))

    @cached_property
    def evaluations(self) -> list[tuple[str, int]]:
        """Every (run, seed) to be scored, each once."""
        scored = (item for item in self.items if "scores" in self.item(item).reads)
        return list(dict.fromkeys(pair for item in scored for pair in self.item_evaluations(item)))

    @cached_property
    def _benchmarks(self) -> dict[str, list[str]]:
        wanted: dict[str, dict[str, None]] = {}
        for item in self.items:
            for run, _ in self.item_evaluations(item):
                wanted.setdefault(run, {}).update(dict.fromkeys(self.item_benchmarks(item)))
        return {run: list(names) for run, names in wanted.items()}

    def benchmarks(self, run: str) -> list[str]:
        """The union of the benchmarks of all selected items that show `run`; for a run of no item, all selected."""
        if run in self._benchmarks:
            return self._benchmarks[run]
        return list(dict.fromkeys(name for item in self.items for name in self.item_benchmarks(item)))

    # What depends on what

    @cache  # noqa: B019 (one object per process)
    def run(self, name: str) -> Config:
        """The resolved configuration of a run."""
        return run_config(self.config, self.experiments, name)

    def known_run(self, name: str) -> str:
        """The name of a run as it was given. Raises UserError, with the nearest name, where there is no such run."""
        require_known("run", [name], self.experiments.runs, "run")
        return name

    def weights_run(self, run: str) -> str:
        """The run whose checkpoint `run` answers with: itself, or the one it names in `weights`."""
        return self.experiments.runs[self.known_run(run)].weights or run

    def foreign(self, run: str) -> str | None:
        """Hub id or folder of the model of a run that is not ours."""
        return self.experiments.runs[self.known_run(run)].model

    def checkpoint(self, run: str, seed: int) -> Path:
        """The folder of the model that `run` answers with."""
        if self.foreign(run):
            return self.layout.model(run)
        return self.layout.instruction(self.weights_run(run), seed)

    def has_alignment(self, run: str) -> bool:
        """A blind model has no connector to align, so it starts stage 2 from the backbones."""
        return self.run(run).network.encoder != "blind" and not self.foreign(run)

    @cache  # noqa: B019 (one object per process)
    def alignment_key(self, run: str, seed: int) -> str:
        """The stage-1 checkpoint that stage 2 of `run` starts from."""
        return alignment_key(self.run(run), seed)

    def instruction_key(self, run: str, seed: int) -> str:
        """The name of a stage-2 working folder. Runs may have the same settings, and still each trains its own."""
        return f"{run}-{hash_of({'seed': seed, **self.run_settings(run, 'train_instruction')})}"

    def answers_key(self, run: str, model: str) -> str:
        """The name of a run's folder of unfinished answers by the model with the content hash `model`."""
        return f"{run}-{hash_of([self.run_settings(run, 'answer_questions'), model])}"

    @cached_property
    def training_seeds(self) -> list[int]:
        """Every seed that something of this configuration is trained with."""
        of_items = {seed for item in self.experiments.items.values() for seed in item.seeds}
        return sorted({*self.config.seeds, *self.config.claim_seeds, *of_items})

    @cached_property
    def _alignments(self) -> dict[str, tuple[str, int]]:
        owners: dict[str, tuple[str, int]] = {}
        for run in self.experiments.runs:
            if self.weights_run(run) == run and self.has_alignment(run):
                for seed in self.training_seeds:
                    owners.setdefault(self.alignment_key(run, seed), (run, seed))
        return owners

    def alignment(self, key: str) -> tuple[str, int]:
        """A (run, seed) that the stage-1 checkpoint `key` belongs to; all of them have the same stage-1 settings."""
        if key not in self._alignments:
            raise UserError(f"no run of {self.config.experiments} has the stage-1 key {key}; keys follow the settings")
        return self._alignments[key]

    def alignment_runs(self, key: str) -> list[str]:
        """The runs made here that start stage 2 from the checkpoint `key`."""
        _, seed = self.alignment(key)
        wanted = dict.fromkeys(self.weights_run(run) for item in self.items for run in self.item_runs(item))
        return [run for run in wanted if self.has_alignment(run) and self.alignment_key(run, seed) == key]

    def backbone_files(self, backbone: str) -> list[Path]:
        """The JSON file that describes a mini backbone; none for a published one."""
        settings = getattr(self.config.backbones, backbone)
        name = settings.model if backbone == "clip" else settings.name
        return [Path(name)] if name.endswith(".json") else []

    def extension_files(self, run: str) -> list[Path]:
        """The files from outside this package that a run's network takes a part from."""
        network = self.run(run).network
        places = (in_file(getattr(network, kind)) for kind in BUILT_IN)
        return sorted({place[0] for place in places if place is not None})

    def extension_modules(self, run: str) -> list[str]:
        """The modules of other installed packages that a run's network takes a part from."""
        network = self.run(run).network
        found = (module_of(kind, getattr(network, kind)) for kind in BUILT_IN)
        return sorted({module for module in found if module is not None})

    def readers(self, sets: Iterable[str]) -> list[str]:
        """The modules that read the files of sets."""
        return readers(sets)

    def training_shards(self, run: str, stage: str) -> list[tuple[str, int, int]]:
        """(set, shard, number of shards) of the cached features that a stage of `run` reads."""
        cached = (name for name in getattr(self.run(run), stage).datasets if name not in self.config.on_the_fly)
        return self._shards(cached)

    def benchmark_shards(self, run: str) -> list[tuple[str, int, int]]:
        """(set, shard, number of shards) of the features that `run` answers from; a foreign model reads the videos."""
        return [] if self.foreign(run) else self._shards(self.benchmarks(run))

    def _shards(self, datasets: Iterable[str]) -> list[tuple[str, int, int]]:
        total = self.config.feature_shards
        return [(dataset, shard, total) for dataset in datasets for shard in range(total)]

    def write_resolved(self) -> None:
        """Write the whole configuration and its experiments below `root`, for the commands of this run."""
        resolved = self.config.model_copy(update={"experiments": str(self.layout.experiments)})
        for path, model in ((self.layout.experiments, self.experiments), (self.layout.config, resolved)):
            text = yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
            write_text(path, text)

    # What the rules carry as parameters

    def settings(self, step: str) -> Slice:
        """The slice of the profile's settings that a step shared by all runs depends on."""
        return settings_of(self.config, step)

    def run_settings(self, run: str, step: str) -> Slice:
        """The slice of a run's settings that `step` depends on, with the name of a model that is not ours."""
        return settings_of(self.run(run), step) | self.model_settings(run)

    def model_settings(self, run: str) -> Slice:
        """The name of the model of a run that is not ours; nothing for a run of ours."""
        name = self.foreign(run)
        return {"model": name} if name else {}

    def item_settings(self, item: str) -> Slice:
        """What the page of an item depends on besides the scores."""
        return {
            "profile": self.config.profile,
            "runs": self.item_runs(item),
            "benchmarks": self.item_benchmarks(item),
            **self.item(item).model_dump(mode="json", include={"title", "notebook", "measures", "seeds", "datasets"}),
        }
