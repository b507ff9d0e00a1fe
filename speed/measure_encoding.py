"""Frames a second of a set from cached features, and decoded and encoded on the fly; the shares of the two.

    python speed/measure_encoding.py --config config/mini.yaml --dataset webvid_cap
    python speed/measure_encoding.py --dataset msvd_qa --films 20 --repeats 1

The set, its features and the visual encoder of the profile must be there. The ways are taken in turn in one process;
times are the least of all rounds, by the processor's clock as well: what others do on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch

from dynfocus.config import load_config
from dynfocus.features.extract import compute_type, read_medium, seen
from dynfocus.features.store import FeatureStore
from dynfocus.network import clip
from dynfocus.network.vision import load_vision_tower
from dynfocus.steps.layout import Layout


def main() -> None:
    """Print the rates as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("config/mini.yaml"))
    parser.add_argument("--root", help="folder of the profile's data, in place of its own")
    parser.add_argument("--dataset", default="webvid_cap")
    parser.add_argument("--films", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    config = load_config([asked.config], [f"root={asked.root}"] if asked.root else [])
    torch.set_num_threads(asked.threads)
    layout = Layout(Path(config.root))
    store, folder = FeatureStore(layout.features / asked.dataset), layout.data / asked.dataset
    device = torch.device(config.hardware.device)
    tower = load_vision_tower(clip.load(layout.backbones / "clip").visual, config.backbones.clip.layer)
    tower = tower.to(device, compute_type(config))
    media = store.ids()[: asked.films]
    films = [torch.from_numpy(read_medium(folder, medium, config.video, tower.mean)[0]) for medium in media]

    def cached() -> None:
        for medium in media:
            store.get(medium).sum()

    def decode() -> None:
        for medium in media:
            read_medium(folder, medium, config.video, tower.mean)

    def encode() -> None:
        for film in films:
            seen(tower, film.to(device))

    ways = {"cached": cached, "decode": decode, "encode": encode}
    least = {name: [float("inf"), float("inf")] for name in ways}
    for _ in range(asked.repeats):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            way()
            spent = time.perf_counter() - wall, time.process_time() - processor
            least[name] = [min(pair) for pair in zip(least[name], spent, strict=True)]
    frames = sum(map(len, films))
    live = [least["decode"][clock] + least["encode"][clock] for clock in (0, 1)]
    print(
        json.dumps(
            {
                "set": asked.dataset,
                "films": len(films),
                "frames": frames,
                "threads": asked.threads,
                "load": os.getloadavg()[0],
                "frames_per_second": {name: round(frames / times[0], 1) for name, times in least.items()},
                "frames_per_processor_second": {name: round(frames / times[1], 1) for name, times in least.items()},
                "on_the_fly_frames_per_second": round(frames / live[0], 1),
                "share_of_decoding": round(least["decode"][1] / live[1], 3),
                "share_of_encoding": round(least["encode"][1] / live[1], 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
