"""What the choices that the paper leaves open change: centres that a switch shares with the default, on a run's films.

    python scripts/compare_choices.py --root . --set msvd_qa

T-DPC over the pooled frames of every film of more than L frames, S-DPC's fine and coarse prototypes over every frame.
Without training: a model that is trained with another choice may make up for it, or not. `--root` holds features/.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dynfocus.config import load_config
from dynfocus.config.schema import Network
from dynfocus.features.store import FeatureStore
from dynfocus.machine.startup import prepare_process
from dynfocus.network.clustering import DEFAULT_CHOICES, Choices, cluster
from dynfocus.network.dpe import pool_patches

SWITCHES = {
    "density_neighbours: with_itself": replace(DEFAULT_CHOICES, neighbours="with_itself"),
    "density_separation: distance": replace(DEFAULT_CHOICES, separation="distance"),
    "densest_separation: sample": replace(DEFAULT_CHOICES, densest="sample"),
    "all three, as the released code": Choices("with_itself", "distance", "sample"),
    "kmeans_weights: equal": replace(DEFAULT_CHOICES, kmeans_weights="equal"),
    "kmeans_weights: exp_density": replace(DEFAULT_CHOICES, kmeans_weights="exp_density"),
}


def places(features: Tensor, network: Network) -> Iterator[tuple[str, Tensor, int, int]]:
    """Name, items (B, M, c), clusters and neighbours of every clustering of a film (T, N, d)."""
    if features.shape[0] > network.event_prototypes:
        frames = pool_patches(features, network.grid, network.pooled_grid).flatten(1)[None]
        yield "events", frames, network.event_prototypes, network.temporal_neighbours
    yield "fine", features, network.fine_prototypes, network.fine_neighbours
    fine = cluster(features, network.fine_prototypes, "dpc_knn", network.fine_neighbours)
    merged = fine.merge(features, network.merge_weights)
    yield "coarse", merged, network.coarse_prototypes, network.coarse_neighbours


def shared(one: Tensor, other: Tensor) -> Tensor:
    """Share (B,) of the centres (B, K) of one clustering that are centres of the other."""
    return (one[:, :, None] == other[:, None, :]).any(2).float().mean(1)


def main() -> None:
    """Print the share of centres that every switch leaves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("config/mini.yaml"), help="profile")
    parser.add_argument("--root", type=Path, default=Path("."), help="folder with features/")
    parser.add_argument("--set", default="msvd_qa", help="data set")
    options = parser.parse_args()
    prepare_process()
    torch.set_num_threads(1)
    network = load_config([options.config]).network
    store = FeatureStore(options.root / "features" / options.set)
    kept: dict[tuple[str, str], list[Tensor]] = {}
    for film in store.ids():
        for place, items, clusters, neighbours in places(store.get(film).float(), network):
            for name, choices in SWITCHES.items():
                kind = "weighted_kmeans" if name.startswith("kmeans") else "dpc_knn"
                default, made = (
                    cluster(items, clusters, kind, neighbours, choices=one).centres
                    for one in (DEFAULT_CHOICES, choices)
                )
                kept.setdefault((name, place), []).append(shared(default, made))
    print("| switch | events | fine | coarse |\n| --- | --- | --- | --- |")
    for name in SWITCHES:
        cells = (f"{100 * torch.cat(kept[name, place]).mean():.0f} %" for place in ("events", "fine", "coarse"))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
