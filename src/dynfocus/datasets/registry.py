"""The training sets by name: reader, paper title, modality and task (paper Tables 9 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dynfocus.datasets.clevrer import read_clevrer
from dynfocus.datasets.llava import read_llava_625k, read_llava_cc3m, read_llava_video_cap
from dynfocus.datasets.nextqa import read_nextqa
from dynfocus.datasets.records import Record, read_rows
from dynfocus.datasets.scienceqa import read_scienceqa
from dynfocus.datasets.videochat2 import videochat2_records
from dynfocus.datasets.videochatgpt import read_videochatgpt
from dynfocus.datasets.webvid import read_webvid_cap
from dynfocus.errors import UserError


@dataclass(frozen=True)
class TrainingSet:
    """How a training set is read and where the paper lists it."""

    read: Callable[[Path], list[Record]]
    title: str
    modality: str
    task: str


def _read_webvid_qa(folder: Path) -> list[Record]:
    path = folder / "train.json"
    return videochat2_records(read_rows(path), path, "videos")


TRAINING_SETS: dict[str, TrainingSet] = {
    "webvid_cap": TrainingSet(read_webvid_cap, "WebVid-Cap", "Video-Text", "Captioning"),
    "llava_cc3m": TrainingSet(read_llava_cc3m, "LLaVA-filtered CC3M", "Image-Text", "Captioning"),
    "videochatgpt": TrainingSet(read_videochatgpt, "VideoChatGPT", "Video-Text", "Instruction"),
    "webvid_qa": TrainingSet(_read_webvid_qa, "WebVidQA", "Video-Text", "VQA"),
    "clevrer": TrainingSet(read_clevrer, "CLEVRER", "Video-Text", "VQA"),
    "nextqa": TrainingSet(read_nextqa, "NExT-QA", "Video-Text", "VQA"),
    "llava_625k": TrainingSet(read_llava_625k, "LLaVA-625K", "Image-Text", "Mixture"),
    "scienceqa": TrainingSet(read_scienceqa, "ScienceQA", "Image-Text", "VQA"),
    "llava_video_cap": TrainingSet(read_llava_video_cap, "LLaVA-Video-178K captions", "Video-Text", "Captioning"),
}


def load_records(set_name: str, folder: Path | str) -> list[Record]:
    """Read the raw official files of a training set.

    Args:
        set_name: key of `TRAINING_SETS`.
        folder: `data/{set_name}` of the profile's root.

    Raises:
        UserError: unknown set, missing or broken file (the message names file, row and field).
    """
    if set_name not in TRAINING_SETS:
        nearest = get_close_matches(set_name, TRAINING_SETS, n=1, cutoff=0)[0]
        raise UserError(f"unknown training set `{set_name}`; the nearest known one is `{nearest}`")
    return TRAINING_SETS[set_name].read(Path(folder))
