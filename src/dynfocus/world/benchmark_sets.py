"""Annotations of the mini world's benchmarks, in the official files (`docs/benchmarks/LAYOUT.md`)."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from dynfocus.world.films import Film
from dynfocus.world.questions import KINDS, QA, ask, describe, describe_scene
from dynfocus.world.text import LETTERS
from dynfocus.world.training_sets import write_json

QUESTIONS = 5
"""Questions asked about each film of an open-ended set."""

ACTIVITYNET_TYPES = {"action": 0, "place": 1, "moment": 2, "order": 2, "first": 2, "last": 2, "count": 7}
ACTIVITYNET_TYPES |= {kind: 4 for kind in ("actor_color", "color", "color_of")}
ACTIVITYNET_TYPES |= {kind: 5 for kind in ("actor_shape", "shape", "shape_of")}

VIDEO_MME_DURATIONS = {12: "short", 24: "medium", 48: "long"}
"""Class of a film by its seconds."""
VIDEO_MME_DOMAINS = ("Knowledge", "Film & Television", "Sports Competition")
VIDEO_MME_TASKS = {
    "actor_color": "Attribute Perception",
    "color": "Attribute Perception",
    "color_of": "Attribute Perception",
    "actor_shape": "Object Recognition",
    "shape": "Object Recognition",
    "shape_of": "Object Recognition",
    "action": "Action Recognition",
    "count": "Counting Problem",
    "place": "Spatial Perception",
    "moment": "Temporal Perception",
    "first": "Temporal Reasoning",
    "last": "Temporal Reasoning",
    "order": "Temporal Reasoning",
}

LVBENCH_TYPES = {
    "key information retrieval": ("color", "shape", "color_of", "shape_of"),
    "event understanding": ("action",),
    "summarization": ("first", "last"),
    "entity recognition": ("actor_color", "actor_shape"),
    "reasoning": ("count",),
    "temporal grounding": ("order",),
}

MLVU_TASKS = {
    "1_plotQA": ("plotQA", ("actor_color",)),
    "2_needle": ("findNeedle", ("color", "shape", "color_of", "shape_of")),
    "3_ego": ("ego", ("actor_shape",)),
    "4_count": ("count", ("count",)),
    "5_order": ("order", ("order",)),
    "6_anomaly_reco": ("anomaly_reco", ("action",)),
    "7_topic_reasoning": ("topic_reasoning", ("first", "last")),
}
MLVU_TEST_TASKS = {
    "plotQA": "1_plotQA",
    "needleQA": "2_needle",
    "ego": "3_ego",
    "count": "4_count",
    "order": "5_order",
    "anomaly_reco": "6_anomaly_reco",
    "topic_reasoning": "7_topic_reasoning",
}

HALLUCINATIONS = {
    "object_relation": ("subject", ("actor_color", "actor_shape", "color", "shape", "color_of")),
    "temporal": ("temporal_relative", ("moment",)),
    "semantic_detail": ("semantic_detail", ("place",)),
    "external_factual": ("instruct", ("action",)),
    "external_nonfactual": ("instruct", ("count",)),
}


def zero_shot_qa(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """MSVD-QA and MSRVTT-QA: `test_q.json`, `test_a.json`, `videos/`."""
    media, questions, answers = {}, [], []
    for film in films:
        video = f"film{film.seed}"
        for number, qa in enumerate(ask(film)[:QUESTIONS]):
            key = f"v_{video}_{number}"
            questions.append({"video_name": video, "question": qa.text, "question_id": key})
            answers.append({"answer": qa.answer, "question_id": key})
        media[Path("videos", f"{video}.mp4")] = film
    write_json(out / "test_q.json", questions)
    write_json(out / "test_a.json", answers)
    return media


def activitynet_qa(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """ActivityNet-QA: typed questions; the last of each film is a yes-or-no question."""
    media, questions, answers = {}, [], []
    for film in films:
        video = str(film.seed)
        for number, qa in enumerate(ask(film)[:QUESTIONS]):
            text, answer, kind = qa.text.rstrip("?"), qa.answer, ACTIVITYNET_TYPES[qa.kind]
            if number == QUESTIONS - 1:
                answer = rng.choice(("yes", "no"))
                text, kind = f"{qa.text} is it {claimed(qa, answer == 'yes', rng)}", 3
            key = f"v_{video}_{number}"
            questions.append({"video_name": video, "question": text, "question_id": key})
            answers.append({"answer": answer, "type": kind, "question_id": key})
        media[Path("all_test", f"v_{video}.mp4")] = film
    write_json(out / "test_q.json", questions)
    write_json(out / "test_a.json", answers)
    return media


def claimed(qa: QA, truth: bool, rng: random.Random) -> str:
    """The answer, or another word of its category."""
    return qa.answer if truth else rng.choice([word for word in qa.category if word != qa.answer])


def vcg_bench(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """VCG-Bench: two generic questions, a temporal and a consistency question a video."""
    media, generic, temporal, consistency = {}, [], [], []
    for film in films:
        video = f"v_{film.seed}"
        scene = film.scenes[0]
        generic += [
            {"Q": "What happens in the video?", "A": describe(film), "video_name": video},
            {"Q": "Describe the video.", "A": describe(film), "video_name": video},
        ]
        qa = ask(film, ("moment", "first", "last", "order"))[0]
        temporal.append({"Q": qa.text, "A": qa.answer, "video_name": video})
        consistency.append(
            {
                "Q1": "what color is the big thing?",
                "Q2": "what is the color of the big thing?",
                "A": scene.actor.color,
                "video_name": video,
            }
        )
        media[Path("Test_Videos", f"{video}.mp4")] = film
    write_json(out / "generic_qa.json", generic)
    write_json(out / "temporal_qa.json", temporal)
    write_json(out / "consistency_qa.json", consistency)
    return media


def balanced_options(qa: QA, place: int, rng: random.Random, count: int = 4) -> tuple[list[str], str] | None:
    """`count` options with the answer at `place`, and its letter; None where the category is too small."""
    if len(qa.category) < count:
        return None
    options = [word for word in qa.options(rng, count) if word != qa.answer]
    options.insert(place % count, qa.answer)
    return options, LETTERS[place % count]


def choice_questions(film: Film, offset: int, rng: random.Random, kinds: tuple[str, ...] = KINDS) -> list[tuple]:
    """(question, options, letter) of a film; right letters take turns, so that no letter is a good guess."""
    found = []
    for qa in ask(film, kinds):
        made = balanced_options(qa, offset + len(found), rng)
        if made:
            found.append((qa, *made))
    return found


def video_mme(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """Video-MME: `test.jsonl`, three choices a video, `data/`."""
    media, rows, asked = {}, [], 0
    for number, film in enumerate(films, start=1):
        video = f"mini{film.seed}"
        for index, (qa, options, letter) in enumerate(choice_questions(film, asked, rng)[:3], start=1):
            rows.append(
                {
                    "video_id": f"{number:03d}",
                    "duration": VIDEO_MME_DURATIONS[film.seconds],
                    "domain": VIDEO_MME_DOMAINS[number // 3 % len(VIDEO_MME_DOMAINS)],
                    "sub_category": "Mini World",
                    "url": "",
                    "videoID": video,
                    "question_id": f"{number:03d}-{index}",
                    "task_type": VIDEO_MME_TASKS[qa.kind],
                    "question": qa.text,
                    "options": [f"{mark}. {option}" for mark, option in zip(LETTERS, options, strict=False)],
                    "answer": letter,
                }
            )
            asked += 1
        media[Path("data", f"{video}.mp4")] = film
    write_lines(out / "test.jsonl", rows)
    return media


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def lvbench(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """LVBench: one line a video, its questions with four option lines each.

    A film's first right letter is one on from the film before it, so that every capability has every letter.
    """
    media, rows, asked = {}, [], 0
    for number, film in enumerate(films):
        key, questions = f"lv{film.seed}", []
        for label, kinds in LVBENCH_TYPES.items():
            for qa, options, letter in choice_questions(film, number + len(questions), rng, kinds)[:1]:
                lines = [f"({mark}) {option}" for mark, option in zip(LETTERS, options, strict=False)]
                questions.append(
                    {
                        "uid": str(asked),
                        "question": "\n".join([qa.text, *lines]),
                        "answer": letter,
                        "question_type": [label],
                        "time_reference": "",
                    }
                )
                asked += 1
        info = {"duration_minutes": film.seconds / 60, "fps": 0, "resolution": {"width": 0, "height": 0}}
        rows.append({"key": key, "type": "cartoon", "video_info": info, "qa": questions})
        media[Path("videos", f"{key}.mp4")] = film
    write_lines(out / "video_info.meta.jsonl", rows)
    return media


def mlvu(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """MLVU, dev set: seven files of choices, two of generation; every film belongs to one task."""
    tasks = [*MLVU_TASKS, "8_sub_scene", "9_summary"]
    rows: dict[str, list[dict[str, Any]]] = {task: [] for task in tasks}
    media = {}
    for index, film in enumerate(films):
        task, video = tasks[index % len(tasks)], f"film{film.seed}.mp4"
        common = {"video": video, "duration": float(film.seconds)}
        if task == "8_sub_scene":
            scene = rng.choice(film.scenes)
            text = describe_scene(scene)
            rows[task].append(
                common
                | {
                    "question": f"Describe what happens in the {scene.place}.",
                    "answer": text,
                    "question_type": "subPlot",
                    "scoring_points": [point.strip() for point in text.split(".") if point.strip()],
                }
            )
        elif task == "9_summary":
            rows[task].append(
                common | {"question": "Describe the video.", "answer": describe(film), "question_type": "summary"}
            )
        else:
            label, kinds = MLVU_TASKS[task]
            for qa, options, _ in choice_questions(film, len(rows[task]), rng, kinds)[:2]:
                rows[task].append(
                    common | {"question": qa.text, "candidates": options, "answer": qa.answer, "question_type": label}
                )
        media[Path("video", task, video)] = film
    for task, entries in rows.items():
        write_json(out / "json" / f"{task}.json", entries)
    return media


def mlvu_test(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """MLVU, test set: six candidates where the category has as many."""
    media, questions, answers = {}, [], []
    for index, film in enumerate(films):
        task = list(MLVU_TEST_TASKS)[index % len(MLVU_TEST_TASKS)]
        video = f"film{film.seed}.mp4"
        for number, qa in enumerate(ask(film, MLVU_TASKS[MLVU_TEST_TASKS[task]][1])[:2]):
            key = f"{task}_{index}_{number}"
            questions.append(
                {
                    "question_id": key,
                    "question_type": task,
                    "video": video,
                    "question": qa.text,
                    "candidates": qa.options(rng, 6),
                }
            )
            answers.append({"question_id": key, "answer": qa.answer})
        media[Path("video", video)] = film
    write_json(out / "test_question.json", questions)
    write_json(out / "test_answer.json", answers)
    return media


def videohallucer(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """VideoHallucer: pairs of a true and a false claim in five categories."""
    media: dict[Path, Film] = {}
    for name, (kind, kinds) in HALLUCINATIONS.items():
        pairs = []
        for film, other in zip(films, [*films[1:], films[0]], strict=True):
            qa = ask(film, kinds)[0]
            video = f"film{film.seed}.mp4"
            second, wrong = video, claimed(qa, False, rng)
            media[Path(name, "videos", video)] = film
            if name == "semantic_detail":
                if other.scenes[0].place == qa.answer:
                    continue
                second, wrong = f"film{other.seed}.mp4", qa.answer
            pairs.append(
                {
                    "basic": {"video": video, "question": f"{qa.text} is it {qa.answer}?", "answer": "yes"},
                    "hallucination": {"video": second, "question": f"{qa.text} is it {wrong}?", "answer": "no"},
                    "type": kind,
                }
            )
        write_json(out / name / f"{name}.json", pairs)
    return media
