"""A toy checkpoint with its visual encoder, exported; a film and a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "evaluation"))

import toy_models

SHAPE = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 4, "width": toy_models.WIDTH, "layers": 2, "head_width": 6},
    "text_cfg": {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 2, "layers": 1},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.4, 0.3]},
}
"""An encoder that was not trained with CLIP's mean and deviation."""
SCORES = [
    {
        "benchmark": "msvd_qa",
        "run": "dynfocus",
        "seed": 0,
        "judge": "rule",
        "metrics": {"accuracy": {"value": 45.5, "low": 40.0, "high": 50.5, "n": 200}, "score": {"value": None}},
        "coverage": {"answered": 200, "total": 200},
    }
]


@pytest.fixture(scope="session")
def hub_config():
    from dynfocus.config import load_config

    repository = Path(__file__).parents[2]
    config = load_config([repository / "config/mini.yaml"], ["video.fps=1.0", "backbones.clip.layer=-1"])
    return config.model_copy(update={"video": config.video.model_copy(update={"image_size": 16})})


@pytest.fixture(scope="session")
def parts(tmp_path_factory) -> tuple[Path, Path]:
    """Checkpoint and visual encoder with random weights that fit each other."""
    from dynfocus.network.clip import build, save

    root = tmp_path_factory.mktemp("toy")
    toy_models.own_model(root / "model")
    save(build(SHAPE), SHAPE, root / "clip")
    return root / "model", root / "clip"


@pytest.fixture(scope="session")
def exported(parts, hub_config, tmp_path_factory) -> Path:
    from dynfocus.hub.export import export_model

    root = tmp_path_factory.mktemp("hub")
    scores = root / "scores.json"
    scores.write_text(json.dumps(SCORES))
    export_model(hub_config, "dynfocus", *parts, root / "model", [scores])
    return root / "model"


@pytest.fixture(scope="session")
def media(tmp_path_factory) -> tuple[Path, Path]:
    """An mp4 of twelve seconds at two frames a second, every frame of its own grey, and a wide picture."""
    root = tmp_path_factory.mktemp("media")
    with av.open(str(root / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=2, options={"crf": "10"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(24):
            picture = np.full((64, 64, 3), 10 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    Image.new("RGB", (60, 20), (200, 10, 10)).save(root / "wide.png")
    return root / "film.mp4", root / "wide.png"
