"""LLaVA's chat files: CC3M-595K and the captions of LLaVA-Video-178K (alignment), the 665k mixture (instruction).

    llava_cc3m/chat.json                   images/GCC_train_000000000.jpg
    llava_625k/llava_v1_5_mix665k.json     coco/train2017, gqa/images, ocr_vqa/images, textvqa/train_images,
                                           vg/VG_100K, vg/VG_100K_2
    llava_video_cap/*_cap_processed.json   videos as the rows name them

The 665k file holds about 40k text-only ShareGPT talks, which LLaVA-625K leaves out (paper Table 9).
"""

from __future__ import annotations

from pathlib import Path

from dynfocus.datasets.records import Record, TrainingSet, checked_talk
from dynfocus.datasets.rows import read_rows
from dynfocus.errors import UserError


def read_llava_cc3m(folder: Path) -> list[Record]:
    """Image-caption records of `chat.json`."""
    return _read_images(folder / "chat.json", "images/", text_only=False)


def read_llava_625k(folder: Path) -> list[Record]:
    """Image talks of `llava_v1_5_mix665k.json`, without its text-only rows."""
    return _read_images(folder / "llava_v1_5_mix665k.json", "", text_only=True)


LLAVA_CC3M = TrainingSet(read_llava_cc3m, "LLaVA-filtered CC3M", "Image-Text", "Captioning")
LLAVA_625K = TrainingSet(read_llava_625k, "LLaVA-625K", "Image-Text", "Mixture")


def read_llava_video_cap(folder: Path) -> list[Record]:
    """Captioned videos of all `*_cap_processed.json`, in the order of the files' names."""
    files = sorted(folder.glob("*_cap_processed.json"))
    if not files:
        raise UserError(f"no {folder}/*_cap_processed.json; see the layout in dynfocus/datasets/LAYOUT.md")
    return [
        {
            "id": f"{path.name.removesuffix('_cap_processed.json')}/{number}",
            "video": row.text("video"),
            "conversations": checked_talk(row),
        }
        for path in files
        for number, row in enumerate(read_rows(path))
    ]


LLAVA_VIDEO_CAP = TrainingSet(read_llava_video_cap, "LLaVA-Video-178K captions", "Video-Text", "Captioning")


def _read_images(path: Path, prefix: str, text_only: bool) -> list[Record]:
    """Records of one chat file; `text_only` says that rows without an image belong to the file and are left out."""
    return [
        {
            "id": row.text("id"),
            "image": prefix + row.of("image", str),
            "conversations": checked_talk(row),
        }
        for row in read_rows(path)
        if "image" in row or not text_only
    ]
