"""Video-MME with subtitles: those shown at the times of the sampled frames, in front of the prompt."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.errors import MediumError, UserError
from dynfocus.evaluation.questions import Question
from dynfocus.files import read_text

if TYPE_CHECKING:
    from dynfocus.config.schema import Video

LEAD = "This video's subtitles are listed below:"
"""First line of the official prompt with subtitles; a video without any is asked without this line."""
_TIMES = re.compile(r"(\d+):(\d+):(\d+)[,.](\d+)\s*-->\s*(\d+):(\d+):(\d+)[,.](\d+)")
_TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}")


@dataclass(frozen=True)
class Caption:
    """One subtitle: from `start` up to `end`, in seconds."""

    start: float
    end: float
    text: str


def with_subtitles(questions: Sequence[Question], folder: Path, video: Video) -> list[Question]:
    """Questions of one benchmark with their videos' subtitles in front of the text.

    Raises UserError where the benchmark has no subtitle file at all.
    """
    if not any("subtitle" in question.details for question in questions):
        raise UserError(
            f"{folder}: no subtitle/*.srt of its videos found; unpack subtitle.zip or set evaluation.subtitles=false"
        )
    shown: dict[str, str] = {}
    return [_with_own(question, folder, video, shown) for question in questions]


def _with_own(question: Question, folder: Path, video: Video, shown: dict[str, str]) -> Question:
    file = question.details.get("subtitle")
    if file is None or question.video is None:
        return question
    if file not in shown:
        shown[file] = shown_at(captions(folder / file), frame_times(folder / question.video, video))
    return replace(question, text=f"{LEAD}\n{shown[file]}\n{question.text}") if shown[file] else question


def frame_times(path: Path, video: Video) -> list[float]:
    """Seconds of the frames that the configuration samples; none of a video that is missing or unreadable."""
    from dynfocus.features.decode import sampled_seconds

    try:
        return sampled_seconds(path, video).tolist()
    except MediumError:
        return []


def captions(file: Path) -> list[Caption]:
    """The subtitles of an `.srt` file, without markup; UserError where it has none in that form."""
    text = read_text(file, "fetch the file again").replace("\r\n", "\n")
    found = []
    for block in re.split(r"\n\s*\n", text):
        times = _TIMES.search(block)
        if times:
            words = " ".join(_TAG.sub("", block[times.end() :]).split())
            found.append(Caption(_seconds(times.groups()[:4]), _seconds(times.groups()[4:]), words))
    if not found and text.strip():
        raise UserError(f"{file}: no subtitle with times such as 00:01:02,500 --> 00:01:04,000; fetch the file again")
    return found


def shown_at(subtitles: Iterable[Caption], times: Sequence[float]) -> str:
    """The texts shown at one of the (rising) times, a line each; a text repeated at once is given once."""
    lines: list[str] = []
    for caption in sorted(subtitles, key=lambda known: known.start):
        place = bisect_left(times, caption.start)
        if caption.text and place < len(times) and times[place] < caption.end:
            lines += [caption.text] if lines[-1:] != [caption.text] else []
    return "\n".join(lines)


def _seconds(parts: Sequence[str]) -> float:
    hours, minutes, seconds, fraction = parts
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds) + int(fraction) / 10 ** len(fraction)
