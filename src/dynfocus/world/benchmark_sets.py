"""Annotations of the mini world's benchmarks, in the official files (`docs/benchmarks/LAYOUT.md`)."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from dynfocus.files import write_json
from dynfocus.world.films import Film
from dynfocus.world.questions import QA, ask, ask_mixed, describe, describe_scene, told
from dynfocus.world.text import LETTERS, marked

MSVD_MIX = {
    **{"actor_color": 15, "actor_shape": 15},
    **{"action": 9, "twice": 6, "sequence": 5, "color": 4, "color_of": 8, "shape": 4, "shape_of": 8, "relation": 10},
    **{"count": 4, "moment": 4, "side": 4, "place": 4},
}
"""Percent of each kind, after the first words of MSVD-QA and MSRVTT-QA: who; what; how, when, where; none below 4."""

ACTIVITYNET_TYPES = {
    **{"action": 0, "twice": 0},
    **{"relation": 1, "side": 1},
    **{"moment": 2, "sequence": 2, "order": 2, "first": 2, "last": 2},
    **{"actor_color": 4, "color": 4, "color_of": 4},
    **{"shape": 5, "shape_of": 5},
    **{"place": 6},
    **{"count": 7},
    **{"actor_shape": 8},
}
ACTIVITYNET_MIX = {
    **{"action": 400, "twice": 400},
    **{"relation": 400, "side": 400},
    **{"moment": 300, "sequence": 200, "order": 100, "first": 100, "last": 100},
    **{"actor_color": 233, "color": 232, "color_of": 232},
    **{"shape": 159, "shape_of": 159},
    **{"place": 386},
    **{"count": 606},
    **{"actor_shape": 1499},
}
"""Questions of the types of ActivityNet-QA's test set, all but yes-or-no, divided among the kinds of a type."""

VIDEO_MME_DURATIONS = {1: "short", 2: "medium", 4: "long"}
"""Class of a film by its scenes, each with events of its own."""
VIDEO_MME_DOMAINS = ("Knowledge", "Film & Television", "Sports Competition")
VIDEO_MME_TASKS = {
    "Temporal Perception": {"sequence": 55},
    "Spatial Perception": {"side": 54},
    "Attribute Perception": {"actor_color": 74, "color": 74, "color_of": 74},
    "Action Recognition": {"action": 313},
    "Object Recognition": {"actor_shape": 177, "shape": 177},
    "Counting Problem": {"count": 268},
    "Temporal Reasoning": {"order": 177},
    "Spatial Reasoning": {"relation": 56},
    "Action Reasoning": {"twice": 285},
    "Object Reasoning": {"shape_of": 454},
    "Information Synopsis": {"place": 107, "first": 108, "last": 108},
}
"""Kinds of each task with its number of questions in the real set; the mini world has nothing to read (OCR)."""

LVBENCH_TYPES = {
    "key information retrieval": ("color", "shape", "color_of", "shape_of", "side"),
    "event understanding": ("action", "sequence", "twice"),
    "summarization": ("first", "last"),
    "entity recognition": ("actor_color", "actor_shape"),
    "reasoning": ("count", "relation"),
    "temporal grounding": ("order",),
}

MLVU_TASKS = {
    "1_plotQA": ("plotQA", ("actor_color", "relation")),
    "2_needle": ("findNeedle", ("color", "shape", "color_of", "shape_of")),
    "3_ego": ("ego", ("actor_shape", "side")),
    "4_count": ("count", ("count",)),
    "5_order": ("order", ("order", "sequence")),
    "6_anomaly_reco": ("anomaly_reco", ("action", "sequence", "twice")),
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
    "object_relation": ("subject", ("actor_color", "actor_shape", "color", "shape", "color_of", "relation", "side")),
    "temporal": ("temporal_relative", ("moment", "sequence")),
    "semantic_detail": ("semantic_detail", ("place",)),
    "external_factual": ("instruct", ("action", "twice", "sequence")),
    "external_nonfactual": ("instruct", ("count",)),
}


def zero_shot_qa(films: list[Film], out: Path, rng: random.Random, count: int = 8) -> dict[Path, Film]:
    """MSVD-QA and MSRVTT-QA: `test_q.json`, `test_a.json` (its `type` names the kind of a question), `videos/`."""
    media, questions, answers = {}, [], []
    for film, asked in zip(films, ask_mixed(films, count, MSVD_MIX), strict=True):
        video = f"film{film.seed}"
        for number, qa in enumerate(asked):
            key = f"v_{video}_{number}"
            questions.append({"video_name": video, "question": qa.text, "question_id": key})
            answers.append({"answer": qa.answer, "type": qa.kind, "question_id": key})
        media[Path("videos", f"{video}.mp4")] = film
    write_json(out / "test_q.json", questions)
    write_json(out / "test_a.json", answers)
    return media


def activitynet_qa(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """ActivityNet-QA: typed questions; every fourth is a yes-or-no question, as 26 % of the real ones are."""
    media, questions, answers = {}, [], []
    for film, asked in zip(films, ask_mixed(films, 8, ACTIVITYNET_MIX), strict=True):
        video = str(film.seed)
        for number, qa in enumerate(asked):
            text, answer, kind = qa.text.rstrip("?"), qa.answer, ACTIVITYNET_TYPES[qa.kind]
            if number % 4 == 3:
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
        qa = ask(film, ("moment", "sequence", "first", "last", "order"))[0]
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


def with_options(asked: list[QA], offset: int, rng: random.Random) -> list[tuple[QA, list[str], str]]:
    """(question, options, letter) of those that have four; right letters take turns, so that none is a good guess."""
    found: list[tuple[QA, list[str], str]] = []
    for qa in asked:
        made = balanced_options(qa, offset + len(found), rng)
        if made:
            found.append((qa, *made))
    return found


def video_mme(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """Video-MME: `test.jsonl`, six choices a video, `data/`."""
    tasks = {kind: task for task, kinds in VIDEO_MME_TASKS.items() for kind in kinds}
    mix = {kind: share for kinds in VIDEO_MME_TASKS.values() for kind, share in kinds.items()}
    media: dict[Path, Film] = {}
    rows: list[dict[str, Any]] = []
    for number, (film, asked) in enumerate(zip(films, ask_mixed(films, 6, mix), strict=True), start=1):
        video = f"mini{film.seed}"
        for index, (qa, options, letter) in enumerate(with_options(asked, len(rows), rng), start=1):
            rows.append(
                {
                    "video_id": f"{number:03d}",
                    "duration": VIDEO_MME_DURATIONS[len(film.scenes)],
                    "domain": VIDEO_MME_DOMAINS[number // 3 % len(VIDEO_MME_DOMAINS)],
                    "sub_category": qa.kind,
                    "url": "",
                    "videoID": video,
                    "question_id": f"{number:03d}-{index}",
                    "task_type": tasks[qa.kind],
                    "question": qa.text,
                    "options": marked(options, "{}. {}"),
                    "answer": letter,
                }
            )
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
        key = f"lv{film.seed}"
        questions: list[dict[str, Any]] = []
        for label, kinds in LVBENCH_TYPES.items():
            for qa, options, letter in with_options(ask(film, kinds)[:1], number + len(questions), rng):
                questions.append(
                    {
                        "uid": str(asked),
                        "question": "\n".join([qa.text, *marked(options, "({}) {}")]),
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
            rows[task].append(
                common
                | {
                    "question": f"Describe what happens in the {scene.place}.",
                    "answer": describe_scene(scene),
                    "question_type": "subPlot",
                    "scoring_points": [scene.actor.name, *told(scene)],
                }
            )
        elif task == "9_summary":
            rows[task].append(
                common | {"question": "Describe the video.", "answer": describe(film), "question_type": "summary"}
            )
        else:
            label, kinds = MLVU_TASKS[task]
            for qa, options, _ in with_options(ask(film, kinds), len(rows[task]), rng)[:3]:
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
