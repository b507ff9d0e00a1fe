"""WebVid-Cap: captions in CSV parts, one video a row.

    results_2M_train_50/{i}.csv      columns videoid, name (caption), page_dir; LLaMA-VID's subset is parts 0-4 of 50
    videos/{page_dir}/{videoid}.mp4

WebVid was withdrawn by its authors in February 2024; the reader serves copies that exist and any set in the same form.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from dynfocus.datasets.records import IMAGE_TOKEN, Record, TrainingSet, talk
from dynfocus.datasets.rows import Row, read_rows
from dynfocus.errors import UserError

# Eleven requests for a short description, so that the text encoder does not see a single sentence.
REQUESTS = (
    "Describe the video in brief.",
    "Give a short account of what the video shows.",
    "What happens in this video? Answer briefly.",
    "Summarise the video in one sentence.",
    "Write a short caption for this video.",
    "In a few words, what is seen in the video?",
    "State concisely what the clip is about.",
    "Offer a brief description of this clip.",
    "What does the video show? Keep it short.",
    "Describe the clip concisely.",
    "Give a compact summary of the footage.",
)


def read_webvid_cap(folder: Path) -> list[Record]:
    """Records of all parts, in the order of the part numbers."""
    parts = sorted((folder / "results_2M_train_50").glob("*.csv"), key=lambda part: (len(part.stem), part.stem))
    if not parts:
        raise UserError(f"no {folder}/results_2M_train_50/*.csv; see the layout in dynfocus/datasets/LAYOUT.md")
    return [_record(row) for part in parts for row in read_rows(part)]


WEBVID_CAP = TrainingSet(read_webvid_cap, "WebVid-Cap", "Video-Text", "Captioning")


def _record(row: Row) -> Record:
    video, caption, page = row.text("videoid"), row["name"], row.text("page_dir")
    request = REQUESTS[zlib.crc32(video.encode()) % len(REQUESTS)]
    return {
        "id": video,
        "video": f"videos/{page}/{video}.mp4",
        "conversations": talk([(f"{request}\n{IMAGE_TOKEN}", caption)]),
    }
