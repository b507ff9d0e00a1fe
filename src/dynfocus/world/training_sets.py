"""Annotations of the mini world's training sets, in the raw official files (`dynfocus.datasets`)."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

from dynfocus.files import write_json
from dynfocus.world.films import Film
from dynfocus.world.questions import KINDS, ask, describe, describe_still
from dynfocus.world.text import DESCRIBE_PROMPTS, Round, choice_round, describe_round, open_round, yes_no_round

STYLE_WEIGHTS = (5, 4, 1)
"""Open questions, choices and yes-or-no questions of a talk."""
DESCRIBE_SHARE = 0.25
"""Share of the talks that end with a description."""
ROUNDS = 4
"""Questions asked about each film or image of an instruction set."""
STILL_KINDS = (
    "actor_color",
    "actor_shape",
    "color",
    "shape",
    "color_of",
    "shape_of",
    "side",
    "relation",
    "count",
    "place",
)
"""Kinds of question that one frame answers."""
REASONING_KINDS = ("action", "sequence", "twice", "count", "moment", "relation", "first", "last", "order")


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def mixed_rounds(film: Film, rng: random.Random, count: int, kinds: tuple[str, ...] = KINDS) -> list[Round]:
    """Rounds in the styles of an instruction set: open questions, choices, some yes-or-no and descriptions."""
    styles = rng.choices((open_round, choice_round, yes_no_round), weights=STYLE_WEIGHTS, k=count)
    rounds = [style(qa, rng) for style, qa in zip(styles, ask(film, kinds), strict=False)]
    if rng.random() < DESCRIBE_SHARE:
        rounds[-1] = describe_round(film, rng)
    return rounds


def talk(rounds: list[Round]) -> list[dict[str, str]]:
    """Rounds as LLaVA conversations, the image token at the head of the first turn."""
    turns = []
    for number, (question, answer) in enumerate(rounds):
        turns.append({"from": "human", "value": question if number else f"<image>\n{question}"})
        turns.append({"from": "gpt", "value": answer})
    return turns


def webvid_cap(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """WebVid's CSV: `videoid`, `name`, `page_dir`."""
    media, rows = {}, []
    for film in films:
        page = f"{film.seed % 2:06d}_{film.seed % 2 + 50:06d}"
        rows.append({"videoid": film.seed, "contentUrl": "", "page_dir": page, "name": describe(film)})
        media[Path("videos", page, f"{film.seed}.mp4")] = film
    write_csv(out / "results_2M_train_50" / "0.csv", rows)
    return media


def llava_video_cap(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """A `*_cap_processed.json` with one caption a film."""
    media, rows = {}, []
    for film in films:
        video = f"academic_source/world/{film.seed}.mp4"
        rows.append({"id": str(film.seed), "video": video, "conversations": talk([describe_round(film, rng)])})
        media[Path(video)] = film
    write_json(out / "0_30_s_academic_v0_1_cap_processed.json", rows)
    return media


def llava_cc3m(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """`chat.json` with one caption an image."""
    media, rows = {}, []
    for number, film in enumerate(films):
        image = f"GCC_train_{number:09d}.jpg"
        conversation = talk([(rng.choice(DESCRIBE_PROMPTS), describe_still(film.scenes[0]))])
        rows.append({"id": image[:-4], "image": image, "conversations": conversation})
        media[Path("images", image)] = film
    write_json(out / "chat.json", rows)
    return media


def videochatgpt(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """`VideoInstruct100K.json`: one question and answer a row."""
    media, rows = {}, []
    for film in films:
        video = f"v_{film.seed}"
        rows += [{"q": q, "a": a, "video_id": video} for q, a in mixed_rounds(film, rng, ROUNDS)]
        media[Path("activitynet", "train", f"{video}.mp4")] = film
    write_json(out / "VideoInstruct100K.json", rows)
    return media


def llava_625k(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """`llava_v1_5_mix665k.json`: several rounds an image, from the folders of the real mix."""
    folders = ("coco/train2017", "gqa/images", "ocr_vqa/images", "textvqa/train_images", "vg/VG_100K")
    media, rows = {}, []
    for number, film in enumerate(films):
        image = f"{folders[number % len(folders)]}/{number:012d}.jpg"
        rounds = mixed_rounds(film, rng, 2, STILL_KINDS)
        rows.append({"id": f"{number:012d}", "image": image, "conversations": talk(rounds)})
        media[Path(image)] = film
    write_json(out / "llava_v1_5_mix665k.json", rows)
    return media


def scienceqa(films: list[Film], out: Path, rng: random.Random, split: str = "train") -> dict[Path, Film]:
    """`problems.json` and `pid_splits.json`; of the test split every fourth problem is a text with a hint, no image."""
    media, problems = {}, {}
    for number, film in enumerate(films, start=1):
        qa = ask(film, STILL_KINDS)[0]
        choices = qa.options(rng)
        told = split == "test" and number % 4 == 0
        problems[str(number)] = {
            "question": qa.text,
            "choices": choices,
            "answer": choices.index(qa.answer),
            "hint": describe(film) if told else "",
            "image": None if told else "image.png",
            "task": "closed choice",
            "grade": "grade1",
            "subject": "natural science",
            "topic": "mini world",
            "category": qa.kind,
            "skill": qa.kind,
            "lecture": "",
            "solution": "",
            "split": split,
        }
        if not told:
            media[Path("images", split, str(number), "image.png")] = film
    write_json(out / "problems.json", problems)
    write_json(out / "pid_splits.json", {"train": [], "val": [], "test": [], split: list(problems)})
    return media


def clevrer(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """`train.json`: descriptive questions with a word, explanatory ones with choices."""
    media, rows = {}, []
    for index, film in enumerate(films):
        name = f"video_{index:05d}.mp4"
        questions: list[dict[str, Any]] = []
        for qa in ask(film, REASONING_KINDS)[:3]:
            entry: dict[str, Any] = {"question_id": len(questions), "question": qa.text}
            if rng.random() < 0.5:
                entry |= {"question_type": "descriptive", "answer": qa.answer}
            else:
                entry |= {
                    "question_type": "explanatory",
                    "choices": [
                        {"choice_id": number, "choice": word, "answer": "correct" if word == qa.answer else "wrong"}
                        for number, word in enumerate(qa.options(rng))
                    ],
                }
            questions.append(entry)
        rows.append({"scene_index": index, "video_filename": name, "questions": questions})
        first = index // 1000 * 1000
        media[Path("video_train", f"video_{first:05d}-{first + 1000:05d}", name)] = film
    write_json(out / "train.json", rows)
    return media


def nextqa(films: list[Film], out: Path, rng: random.Random, split: str = "train") -> dict[Path, Film]:
    """`{split}.csv` with five options a row, and the map from video ids to files."""
    media, rows, files = {}, [], {}
    for film in films:
        video = str(film.seed)
        files[video] = f"{film.seed % 7:04d}/{video}"
        wide = [qa for qa in ask(film) if len(qa.category) >= 5]
        for number, qa in enumerate(wide[:2]):
            options = qa.options(rng, 5)
            rows.append(
                {
                    "video": video,
                    "frame_count": 0,
                    "width": 0,
                    "height": 0,
                    "question": qa.text.rstrip("?"),
                    "answer": options.index(qa.answer),
                    "qid": number,
                    "type": "DO",
                    **{f"a{place}": option for place, option in enumerate(options)},
                }
            )
        media[Path("NExTVideo", f"{files[video]}.mp4")] = film
    write_csv(out / f"{split}.csv", rows)
    write_json(out / "map_vid_vidorID.json", files)
    return media


def webvid_qa(films: list[Film], out: Path, rng: random.Random) -> dict[Path, Film]:
    """VideoChat2-IT's `train.json`: several open questions a video."""
    media, rows = {}, []
    for film in films:
        video = f"{film.seed}.mp4"
        rows.append({"video": video, "QA": [{"i": "", "q": qa.text, "a": qa.answer} for qa in ask(film)[:2]]})
        media[Path("videos", video)] = film
    write_json(out / "train.json", rows)
    return media
