"""What there is to click and to learn from: films with questions out of the data here, and what the model knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dynfocus.config.schema import Config
from dynfocus.evaluation.benchmarks import BENCHMARKS, benchmark, load_questions
from dynfocus.steps.layout import Layout

MOST_FILMS, MOST_QUESTIONS = 4, 5


@dataclass(frozen=True)
class Example:
    """A film, and questions about it with the annotated answers (empty where they are withheld)."""

    path: Path
    questions: Mapping[str, str]


def examples(layout: Layout, benchmarks: Iterable[str] = BENCHMARKS) -> list[Example]:
    """The films with the most open questions, two of each benchmark that is prepared here."""
    found: list[Example] = []
    for name in benchmarks:
        adapter = benchmark(name)
        folder = layout.data / adapter.data_set
        if not folder.is_dir():
            continue
        films: dict[str, dict[str, str]] = {}
        for question in load_questions(adapter, layout.data):
            if question.video is not None and question.options is None and (folder / question.video).is_file():
                films.setdefault(question.video, {})[question.encoder_prompt] = question.gold or ""
        ranked = sorted(films, key=lambda video: (-len(films[video]), video))[: MOST_FILMS // 2]
        found += [Example(folder / one, dict(list(films[one].items())[:MOST_QUESTIONS])) for one in ranked]
    return found[:MOST_FILMS]


def about(config: Config) -> str:
    """What a visitor must know before asking."""
    shown = "Orange frames are cones (many tokens), blue ones rods (few). The film decides which, not the question."
    if config.source != "world":
        return f"Ask about a film. {shown}"
    return (
        f"This is a mini model. All it has seen are {config.world.train_films} drawn films and "
        f"{config.world.train_clips} clips: simple shapes that act in simple places. Ask it about those (where, who, "
        f"what colour, what happens); of real videos it knows nothing, and its answers to them mean nothing. {shown}"
    )
