"""ScienceQA: school questions with two to five options, about half of them with an image; the test split."""

from __future__ import annotations

from pathlib import Path

from dynfocus.datasets.rows import Row
from dynfocus.datasets.scienceqa import context, image_of, problems
from dynfocus.evaluation import official
from dynfocus.evaluation.benchmarks.base import MultipleChoice, lettered
from dynfocus.evaluation.parsing import LETTERS
from dynfocus.evaluation.questions import Question

SPLIT = "test"
PROMPT = "Answer with the option's letter from the given choices directly."
LAST_LOWER_GRADE = 6


class ScienceQaTest(MultipleChoice):
    """ScienceQA, 4,241 test questions, scored as the LLaVA family does.

    Layout: `problems.json`, `pid_splits.json`, `images/test/{id}/image.png`, as of the training set.
    Prompt: LLaVA-1.5's, the hint (if any) as "Context: ...", the question, lines "A. ...", then its instruction.
    A question without an image is asked as text alone. Groupings: subject, context (image, text; both where both are
    there), grade. Official accuracy: a letter, "A. ..." or one "The answer is A."; all else is wrong.
    """

    name = "scienceqa_test"
    title = "ScienceQA"
    data_set = "scienceqa_test"
    video_folders = (f"images/{SPLIT}",)

    def load(self, folder: Path) -> list[Question]:
        return [self._question(name, problem) for name, problem in problems(folder, SPLIT)]

    def _question(self, name: str, problem: Row) -> Question:
        question, choices = problem.text("question"), problem.texts("choices")
        if len(choices) > len(LETTERS):
            raise problem.wrong("choices", f"at most {len(LETTERS)} texts")
        image = image_of(name, problem, SPLIT)
        contexts = [label for label, there in (("image", image), ("text", context(problem))) if there]
        return Question(
            benchmark=self.name,
            question_id=name,
            video=image,
            text="\n".join((context(problem) + question, lettered(choices, "{letter}. {text}"), PROMPT)),
            encoder_prompt=question,
            gold=LETTERS[problem.index("answer", len(choices))],
            options=tuple(choices),
            groups={"context": tuple(contexts) or ("none",), **_groups(problem)},
        )

    def official_values(self, reply: str, gold: str) -> dict[str, float | None]:
        return {"accuracy_official": float(official.scienceqa(reply) == gold)}


def _groups(problem: Row) -> dict[str, tuple[str, ...]]:
    """Subject and grades 1-6 or 7-12, where the row has them."""
    groups: dict[str, tuple[str, ...]] = {"subject": (problem.text("subject"),)} if problem.get("subject") else {}
    grade = str(problem.get("grade", "")).removeprefix("grade")
    if grade.isdecimal():
        groups["grade"] = ("1-6" if int(grade) <= LAST_LOWER_GRADE else "7-12",)
    return groups
