"""Figures 1 and 2: conversations about a video, several questions one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot
from matplotlib.figure import Figure

from dynfocus.measuring.pictures import from_text
from dynfocus.reporting.figures import use_style
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table


def conversation_table(id: str, video: str, turns: Sequence[dict[str, str]]) -> Table:
    """A conversation as a table: question, the model's reply and the answer of the annotation."""
    rows = [((str(number),), (turn["question"], turn["reply"], turn["gold"])) for number, turn in enumerate(turns, 1)]
    return plain_table(id, f"Conversation about {video}", ("Turn",), ("Question", "Reply", "Annotated answer"), rows)


def strip_figure(frames: Sequence[dict[str, Any]]) -> Figure:
    """A row of frames with their times."""
    use_style()
    figure, axes = pyplot.subplots(1, len(frames), figsize=(1.35 * max(len(frames), 2), 1.6), squeeze=False)
    for panel, frame in zip(axes[0], frames, strict=True):
        panel.imshow(from_text(frame["picture"]))
        panel.set_axis_off()
        panel.set_title(f"{frame['seconds']:.0f} s" if "seconds" in frame else f"frame {frame['number']}", fontsize=7)
    return figure


def case_studies(session: Session, item: str) -> tuple[list[Table], dict[str, tuple[Figure, str]], list[str]]:
    """A conversation and a strip of frames for each measured video; or none and the reason."""
    found = session.measurement(item)
    if "cases" not in found:
        return [], {}, [f"missing: {found['gap']}"]
    tables, figures = [], {}
    for number, case in enumerate(found["cases"], 1):
        tables.append(conversation_table(f"case_{number}", case["video"], case["turns"]))
        figures[f"case_{number}"] = (strip_figure(case["frames"]), f"Frames of {case['video']}.")
    return tables, figures, []
