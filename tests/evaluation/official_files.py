"""Small data sets in the exact official file formats, made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VIDEO_MME_ROW = {
    "video_id": "001",
    "duration": "short",
    "domain": "Knowledge",
    "sub_category": "Geography",
    "url": "https://www.youtube.com/watch?v=aaaaaaaaaaa",
    "videoID": "aaaaaaaaaaa",
    "question_id": "001-1",
    "task_type": "Counting Problem",
    "question": "How many balls are there?",
    "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
    "answer": "C",
}


def write(file: Path, rows: Any) -> None:
    """A `.json` or `.jsonl` annotation file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(json.dumps, rows)) + "\n" if file.suffix == ".jsonl" else json.dumps(rows)
    file.write_text(text, encoding="utf-8")


def touch(file: Path) -> None:
    """A file that stands for a video."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")


def msvd_qa(folder: Path, videos: int = 3, each: int = 2) -> None:
    """`test_q.json` and `test_a.json`, the answers in another order than the questions."""
    names = [f"clip{number}_0_10" for number in range(videos)]
    questions = [
        {"video_name": name, "question": f"what is shown in {name} at {n}?", "question_id": f"v_{name}_{n}"}
        for name in names
        for n in range(each)
    ]
    answers = [{"question_id": q["question_id"], "answer": f"thing{i}"} for i, q in enumerate(questions)]
    write(folder / "test_q.json", questions)
    write(folder / "test_a.json", answers[::-1])
    for name in names:
        touch(folder / "videos" / f"{name}.avi")


def activitynet_qa(folder: Path) -> None:
    rows = [
        ("abcdefghijk", 3, "is it day", "yes"),
        ("abcdefghijk", 4, "what colour is it", "red"),
        ("v_bcdefghij", 0, "what is done", "run"),
    ]
    ids = [f"v_{name}_{number}" for number, (name, *_) in enumerate(rows)]
    write(
        folder / "test_q.json",
        [{"video_name": n, "question": q, "question_id": i} for i, (n, _, q, _) in zip(ids, rows, strict=True)],
    )
    write(
        folder / "test_a.json",
        [{"answer": a, "type": t, "question_id": i} for i, (_, t, _, a) in zip(ids, rows, strict=True)],
    )
    touch(folder / "all_test" / "v_abcdefghijk.mp4")
    touch(folder / "all_test" / "v_v_bcdefghij.mkv")


def vcg_bench(folder: Path) -> None:
    """Two videos; two generic questions each, one temporal, one consistency pair."""
    names = ["v_abcdefghijk", "v_bcdefghijkl"]
    write(
        folder / "generic_qa.json",
        [{"Q": f"What happens {n}?", "A": f"A man runs {n}.", "video_name": name} for name in names for n in (1, 2)],
    )
    write(folder / "temporal_qa.json", [{"Q": "What is first?", "A": "A jump.", "video_name": n} for n in names])
    write(
        folder / "consistency_qa.json",
        [{"Q1": "What is worn?", "Q2": "Which clothes are seen?", "A": "A hat.", "video_name": n} for n in names],
    )
    for name in names:
        touch(folder / "Test_Videos" / f"{name}.mp4")


def video_mme(folder: Path, file: str = "test.jsonl", videos: int = 3) -> list[dict[str, Any]]:
    """Three questions a video; durations short, medium, long in turn."""
    rows = [
        VIDEO_MME_ROW
        | {
            "video_id": f"{number:03d}",
            "videoID": f"video{number:06d}",
            "question_id": f"{number:03d}-{n}",
            "duration": ("short", "medium", "long")[number % 3],
            "task_type": ("Counting Problem", "Action Recognition", "OCR Problems")[n - 1],
            "answer": "ABCD"[(number + n) % 4],
        }
        for number in range(videos)
        for n in (1, 2, 3)
    ]
    write(folder / file, rows)
    for number in range(videos):
        touch(folder / "data" / f"video{number:06d}.mp4")
    return rows


def lvbench(folder: Path) -> None:
    options = "\n(A) Red\n(B) Blue\n(C) Green\n(D) White"

    def qa(uid: str, answer: str, *labels: str) -> dict[str, Any]:
        return {
            "uid": uid,
            "question": f"Which colour has ball {uid}?{options}",
            "answer": answer,
            "question_type": list(labels),
            "time_reference": "00:15-00:19",
        }

    info = {"duration_minutes": 67.2, "fps": 25.0, "resolution": {"width": 1280, "height": 720}}
    write(
        folder / "video_info.meta.jsonl",
        [
            {
                "key": "aaaaaaaaaaa",
                "type": "cartoon",
                "video_info": info,
                "qa": [
                    qa("1", "A", "reasoning"),
                    qa("2", "B", "reasoning", "entity recognition"),
                    qa("3", "C", "entity recognition"),
                ],
            },
            {"key": "bbbbbbbbbbb", "type": "tv", "video_info": info, "qa": [qa("4", "D", "summarization")]},
        ],
    )
    for key in ("aaaaaaaaaaa", "bbbbbbbbbbb"):
        touch(folder / "videos" / f"{key}.mp4")


MLVU_FILES = {
    "1_plotQA": "plotQA",
    "2_needle": "findNeedle",
    "3_ego": "ego",
    "4_count": "count",
    "5_order": "order",
    "6_anomaly_reco": "anomaly_reco",
    "7_topic_reasoning": "topic_reasoning",
    "8_sub_scene": "subPlot",
    "9_summary": "summary",
}


def mlvu(folder: Path, rows: dict[str, int] | None = None) -> None:
    """One row a file unless `rows` says more; the right option is always "Blue", letter B."""
    for stem, kind in MLVU_FILES.items():
        entries: list[dict[str, Any]] = []
        for number in range((rows or {}).get(stem, 1)):
            row: dict[str, Any] = {
                "video": f"{kind}_{number}.mp4",
                "duration": 480.0,
                "question": f"What colour is it in {kind} {number}?",
                "answer": "Blue",
                "question_type": kind,
            }
            if stem == "8_sub_scene":
                row |= {"answer": "A blue ball rolls.", "scoring_points": ["A ball is blue.", "The ball rolls."]}
            elif stem == "9_summary":
                row |= {"answer": "A ball rolls and stops."}
            else:
                row |= {"candidates": ["Red", "Blue", "Green", "White"]}
            entries.append(row)
            touch(folder / "video" / stem / row["video"])
        write(folder / "json" / f"{stem}.json", entries)


def mlvu_test(folder: Path) -> None:
    write(
        folder / "test_question.json",
        [
            {
                "question_id": f"AR_{number}",
                "question_type": "anomaly_reco",
                "video": f"AR_{number}.mp4",
                "question": "What is odd?",
                "candidates": ["Fire", "Flood", "Fight", "Fall", "Fraud", "Fog"],
            }
            for number in range(2)
        ],
    )
    write(
        folder / "test_answer.json",
        [{"question_id": "AR_1", "answer": "F"}, {"question_id": "AR_0", "answer": "Fraud"}],
    )
    for number in range(2):
        touch(folder / "video" / f"AR_{number}.mp4")


def videohallucer(folder: Path, pairs: int = 2) -> None:
    """`pairs` pairs in each of the five categories."""
    categories = ("object_relation", "temporal", "semantic_detail", "external_factual", "external_nonfactual")
    for category in categories:
        entries = []
        for number in range(pairs):
            videos = [f"{number}.mp4", f"{number}b.mp4" if category == "semantic_detail" else f"{number}.mp4"]
            entries.append(
                {
                    "basic": {"video": videos[0], "question": f"Is there a dog {number}?", "answer": "yes"},
                    "hallucination": {"video": videos[1], "question": f"Is there a cat {number}?", "answer": "no"},
                    "type": "subject",
                }
            )
            for video in videos:
                touch(folder / category / "videos" / video)
        write(folder / category / f"{category}.json", entries)


def scienceqa_test(folder: Path) -> None:
    """A problem with an image, one with a hint alone, and one with neither; one of the training split."""
    problem = {
        "question": "Which is round?",
        "choices": ["cube", "ball"],
        "answer": 1,
        "hint": "",
        "image": "image.png",
        "subject": "natural science",
        "grade": "grade4",
        "split": "test",
    }
    told = {"image": None, "hint": "Balls are round.", "choices": ["cube", "ball", "cone"], "grade": "grade9"}
    problems = {"4": problem, "5": problem | told, "6": problem | {"image": None, "answer": 0}, "7": problem}
    write(folder / "problems.json", problems)
    write(folder / "pid_splits.json", {"train": ["7"], "test": ["4", "5", "6"]})
    touch(folder / "images/test/4/image.png")


def nextqa_test(folder: Path) -> None:
    """Two questions on a video in the official layout."""
    header = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
    rows = (
        "11,300,640,480,why did he jump,4,6,CW,run,sit,fly,swim,catch it",
        "11,300,640,480,what then,0,7,TP,a,b,c,d,e",
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.csv").write_text("\r\n".join((header, *rows)) + "\r\n")
    write(folder / "map_vid_vidorID.json", {"11": "0101/2909"})
    touch(folder / "NExTVideo/0101/2909.mp4")


MAKERS = {
    "msvd_qa": msvd_qa,
    "msrvtt_qa": msvd_qa,
    "activitynet_qa": activitynet_qa,
    "vcg_bench": vcg_bench,
    "video_mme": video_mme,
    "lvbench": lvbench,
    "mlvu": mlvu,
    "mlvu_test": mlvu_test,
    "videohallucer": videohallucer,
    "scienceqa_test": scienceqa_test,
    "nextqa_test": nextqa_test,
}


def all_sets(data_dir: Path) -> None:
    """Every benchmark below `data_dir`."""
    for name, make in MAKERS.items():
        make(data_dir / name)
