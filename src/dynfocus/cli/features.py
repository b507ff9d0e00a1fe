"""What the frozen visual encoder sees: extract-features."""

from __future__ import annotations

from pathlib import Path

import typer

from dynfocus.cli.options import (
    DEFAULT_CONFIG,
    NO_OVERRIDES,
    ConfigFiles,
    Dataset,
    NumShards,
    Overrides,
    Shard,
    load_jobs,
    require_shard,
)
from dynfocus.config.schema import Config
from dynfocus.files import hash_of
from dynfocus.steps.manifests import content_of
from dynfocus.steps.perform import perform
from dynfocus.steps.table import ExtractFeatures, PrepareClip, PrepareData

app = typer.Typer()


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
    from dynfocus.features.extract import extract
    from dynfocus.ledger.coverage import require

    step = ExtractFeatures(dataset, shard, num_shards or jobs.config.feature_shards)
    require_shard(shard, step.shards)
    data, clip = PrepareData(dataset).path(jobs), PrepareClip().path(jobs)

    def make(out: Path) -> None:
        require(jobs.layout.coverage(dataset), jobs.config.video.min_readable)
        media = _media(jobs.config, dataset, data)[shard :: step.shards]
        made_of = hash_of([step.settings(jobs), media, content_of(data), content_of(clip)])
        extract(jobs.config, dataset, media, data, clip, out, made_of)

    perform(jobs, step, make)


def _media(config: Config, dataset: str, data: Path) -> list[str]:
    """The media of a set, or of the part of it that the profile uses."""
    from dynfocus.datasets import load_records, media_path
    from dynfocus.datasets.subset import subset
    from dynfocus.ledger.coverage import media_of_set

    most = config.max_samples.get(dataset)
    if most is None:
        return media_of_set(dataset, data, config.evaluation)
    used = (media_path(record) for record in subset(dataset, load_records(dataset, data), most))
    return list(dict.fromkeys(medium for medium in used if medium is not None))
