"""Figures 1 and 2: conversations about a video, several questions one after the other, and where its cones are."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from dynfocus.reporting.film import film_of, marked, strip_figure
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table


def conversation_table(id: str, title: str, turns: Sequence[dict[str, str]]) -> Table:
    """A conversation as a table: question, the model's reply (a tick where it is right) and the annotated answer."""
    rows = [
        ((str(number),), (turn["question"], marked(turn["reply"], turn["gold"]), turn["gold"]))
        for number, turn in enumerate(turns, 1)
    ]
    return plain_table(id, title, ("Turn",), ("Question", "Reply", "Annotated answer"), rows)


def case_studies(session: Session, item: str) -> tuple[list[Table], dict[str, tuple[Figure, str]], list[str]]:
    """A conversation and a strip of frames for each measured video; or none and the reason."""
    found = session.measurement(item)
    if "cases" not in found:
        return [], {}, [f"missing: {found['gap']}"]
    tables, figures = [], {}
    for number, case in enumerate(found["cases"], 1):
        tables.append(conversation_table(f"case_{number}", f"Conversation about film {number}", case["turns"]))
        film = film_of(case, session.titles)
        caption = f"Frames of film {number} with their tokens: cones (orange) have many, rods (blue) few."
        figures[f"case_{number}"] = (strip_figure(film), caption)
    return tables, figures, []
