"""What the page offers to click, and its word on what the model knows: from the data here and the configuration."""

from __future__ import annotations

from dynfocus.chat.page import Example
from dynfocus.config.schema import Config
from dynfocus.evaluation.benchmarks import BENCHMARKS, benchmark, load_questions
from dynfocus.steps.layout import Layout

MOST_FILMS, MOST_QUESTIONS = 4, 5


def examples(layout: Layout) -> list[Example]:
    """Films with open questions of the benchmarks that are prepared here, one benchmark after the other."""
    found: list[Example] = []
    for name in BENCHMARKS:
        adapter = benchmark(name)
        folder = layout.data / adapter.data_set
        if not folder.is_dir():
            continue
        films: dict[str, list[str]] = {}
        for question in load_questions(adapter, layout.data):
            if question.video is not None and question.options is None and (folder / question.video).is_file():
                films.setdefault(question.video, []).append(question.encoder_prompt)
        ranked = sorted(films, key=lambda video: (-len(films[video]), video))[: MOST_FILMS // 2]
        found += [Example(folder / one, tuple(dict.fromkeys(films[one]))[:MOST_QUESTIONS]) for one in ranked]
    return found[:MOST_FILMS]


def about(config: Config) -> str:
    """What a visitor must know before asking."""
    shown = "Orange frames are cones (many tokens), blue ones rods (few): the question decides which."
    if config.source != "world":
        return f"Ask about a film. {shown}"
    return (
        f"This is a mini model. All it has seen are {config.world.train_films} drawn films and "
        f"{config.world.train_clips} clips: simple shapes that act in simple places. Ask it about those (where, who, "
        f"what colour, what happens); of real videos it knows nothing, and its answers to them mean nothing. {shown}"
    )
