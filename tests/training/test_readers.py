"""The raw official files of every training set become one record form; a bad row names file, row and field."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.config.names import TRAINING_SETS
from dynfocus.datasets import (
    cut_rounds,
    load_records,
    locate,
    media_of,
    media_path,
    modality,
    rounds,
    sources,
    statistics,
)
from dynfocus.datasets.records import talk
from dynfocus.errors import UserError

CHAT = [{"from": "human", "value": "Describe it.\n<image>"}, {"from": "gpt", "value": "a red ball"}]
NEXTQA = ["video", "frame_count", "width", "height", "question", "answer", "qid", "type", "a0", "a1", "a2", "a3", "a4"]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_csv(path, header, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def webvid_cap(folder):
    header = ["videoid", "contentUrl", "duration", "page_dir", "name"]
    write_csv(folder / "results_2M_train_50/10.csv", header, ["3", "", "PT1S", "a_b", "third"])
    write_csv(folder / "results_2M_train_50/0.csv", header, ["007", "", "PT1S", "000001_000050", "A ball, rolling"])


def llava_cc3m(folder):
    write_json(folder / "chat.json", [{"id": "GCC_1", "image": "GCC_train_1.jpg", "conversations": CHAT}])


def llava_625k(folder):
    rows = [
        {"id": 5, "image": "coco/train2017/5.jpg", "conversations": CHAT + CHAT},
        {"id": "x", "conversations": CHAT},
        {"id": "6", "image": "gqa/images/6.jpg", "conversations": CHAT},
    ]
    write_json(folder / "llava_v1_5_mix665k.json", rows)


def videochatgpt(folder):
    turns = [{"from": "human", "value": "what?\n<video>"}, {"from": "gpt", "value": "a dance"}]
    rows = [
        {"q": "what?", "a": "a dance", "video_id": "v_1"},
        {"q": "who?", "a": "a man", "video_id": "v_1"},
        {"id": "v_2", "video": "v_2.pkl", "conversations": turns},
    ]
    write_json(folder / "VideoInstruct100K.json", rows)


def scienceqa(folder):
    problem = {"question": "Which?", "choices": ["cube", "ball"], "answer": 1, "image": "image.png", "split": "train"}
    hinted = {"8": problem | {"hint": "Balls roll. "}, "9": problem | {"hint": None, "image": None}}
    write_json(folder / "problems.json", {"4": problem, "5": problem | {"image": None}, "6": problem} | hinted)
    write_json(folder / "pid_splits.json", {"train": ["4", "5", "8", "9"], "test": ["6"]})


def clevrer(folder):
    questions = [
        {"question_id": 0, "question": "How many?", "question_type": "descriptive", "answer": "2"},
        {
            "question_id": 1,
            "question": "What next?",
            "question_type": "predictive",
            "choices": [
                {"choice_id": 0, "choice": "they collide", "answer": "correct"},
                {"choice_id": 1, "choice": "nothing", "answer": "wrong"},
                {"choice_id": 2, "choice": "it exits", "answer": "correct"},
            ],
        },
    ]
    write_json(
        folder / "train.json",
        [{"scene_index": 1001, "video_filename": "video_01001.mp4", "questions": questions}],
    )


def nextqa(folder):
    one = ["7", 300, 640, 480, "why did he jump", "4", "6", "CW", "a", "b", "c", "d", "to catch the ball"]
    two = ["7", 300, 640, 480, "what then", "0", "7", "TN", "run", "b", "c", "d", "e"]
    write_csv(folder / "train.csv", NEXTQA, one, two)
    write_json(folder / "map_vid_vidorID.json", {"7": "0101/2909"})


def webvid_qa(folder):
    qa = [{"i": "Answer shortly.", "q": "What colour?", "a": "red"}, {"i": "Describe.", "q": "", "a": "a ball"}]
    write_json(folder / "train.json", [{"video": "1/2.mp4", "QA": qa}])


def llava_video_cap(folder):
    for part, name in (("0_30_s_youtube_v0_1", "b/2.mp4"), ("0_30_s_academic_v0_1", "a/1.mp4")):
        rows = [{"id": "1", "video": name, "data_source": part, "conversations": CHAT}]
        write_json(folder / f"{part}_cap_processed.json", rows)


READ = (webvid_cap, llava_cc3m, llava_625k, videochatgpt, scienceqa, clevrer, nextqa, webvid_qa, llava_video_cap)
WRITERS = {writer.__name__: writer for writer in READ}


@pytest.fixture
def read(tmp_path):
    """Write a set's official files and read them."""

    def write_and_read(name):
        WRITERS[name](tmp_path)
        return load_records(name, tmp_path)

    return write_and_read


def test_every_set_has_a_reader_here():
    assert set(WRITERS) == set(TRAINING_SETS)


@pytest.mark.parametrize("name", WRITERS)
def test_records_have_one_form(read, name):
    records = read(name)
    assert len({record["id"] for record in records}) == len(records) > 0
    for record in records:
        assert set(record) <= {"id", "video", "image", "conversations"} and not {"video", "image"} <= set(record)
        assert [turn["from"] for turn in record["conversations"]] == ["human", "gpt"] * len(rounds(record))
        shown = sum("<image>" in question for question, _ in rounds(record))
        assert shown >= 1 if media_path(record) else shown == 0


def test_webvid_captions_keep_leading_zeros_and_the_order_of_parts(read):
    first, second = read("webvid_cap")
    assert first["video"] == "videos/000001_000050/007.mp4"
    assert rounds(first)[0][1] == "A ball, rolling" and second["id"] == "3"
    assert rounds(first)[0][0].endswith("\n<image>")


def test_llava_images_keep_their_place_and_text_only_talks_are_left_out(read):
    records = read("llava_625k")
    assert [record["image"] for record in records] == ["coco/train2017/5.jpg", "gqa/images/6.jpg"]
    assert sources("llava_625k", records) == {
        ("Image-Text", "COCO", "Captioning"): 1,
        ("Image-Text", "GQA", "VQA"): 1,
    }


def test_cc3m_images_lie_in_the_images_folder(read):
    assert read("llava_cc3m")[0]["image"] == "images/GCC_train_1.jpg"


def test_videochatgpt_alternates_the_side_of_the_video_and_reads_the_converted_form(read):
    even, odd, converted = read("videochatgpt")
    assert rounds(even)[0][0] == "what?\n<image>" and rounds(odd)[0][0] == "<image>\nwho?"
    assert even["video"] == odd["video"] == "activitynet/train/v_1.mp4"
    assert converted["video"] == "activitynet/train/v_2.mp4" and rounds(converted)[0][0] == "what?\n<image>"


def test_scienceqa_reads_the_train_split_with_and_without_image(read):
    shown, text, *_ = read("scienceqa")
    assert shown["image"] == "images/train/4/image.png"
    assert rounds(shown) == [("<image> Which? There are several options:\nA. cube\nB. ball", "The answer is B.")]
    assert modality(text) == "text"


def test_scienceqa_has_its_hint_as_context_in_front_of_the_question(read):
    *_, hinted, bare = read("scienceqa")
    question = "Which? There are several options:\nA. cube\nB. ball"
    assert rounds(hinted)[0][0] == f"<image> Context: Balls roll.\n{question}"
    assert rounds(bare)[0][0] == question


def test_clevrer_names_every_right_option_and_finds_its_thousand(read):
    (record,) = read("clevrer")
    assert record["video"] == "video_train/video_01000-02000/video_01001.mp4"
    assert [answer for _, answer in rounds(record)] == ["2", "The answers are A and C."]


def test_nextqa_groups_the_rounds_of_a_video_and_maps_its_file(read):
    (record,) = read("nextqa")
    assert record["video"] == "NExTVideo/0101/2909.mp4"
    assert [answer for _, answer in rounds(record)] == ["The answer is E.", "The answer is A."]


@pytest.mark.parametrize("name, folder", [("clevrer", "video_train"), ("nextqa", "NExTVideo"), ("webvid_qa", "videos")])
def test_videochat2_rows_are_read_for_the_sets_that_it_carries(tmp_path, name, folder):
    webvid_qa(tmp_path)
    (record,) = load_records(name, tmp_path)
    assert record["video"] == f"{folder}/1/2.mp4"
    assert rounds(record) == [("<image>\nWhat colour?", "red"), ("Describe.", "a ball")]


@pytest.mark.parametrize(
    "name, file, broken, message",
    [
        (
            "llava_video_cap",
            "1_cap_processed.json",
            [{"id": "1", "conversations": CHAT}],
            "1_cap_processed.json, row 1: field `video` is",
        ),
        ("llava_cc3m", "chat.json", [{"id": "1", "conversations": CHAT}], "chat.json, row 1: field `image` is"),
        (
            "llava_cc3m",
            "chat.json",
            [{"id": "1", "image": "a.jpg", "conversations": CHAT[:1]}],
            "`conversations` must alternate human and gpt, found human",
        ),
        ("videochatgpt", "VideoInstruct100K.json", [{"q": "?", "video_id": "v"}], "row 1: field `a` is missing"),
        ("webvid_qa", "train.json", [{"video": "a.mp4", "QA": [{"q": 1, "a": "b"}]}], "field `q` is int, not str"),
        ("webvid_qa", "train.json", {"video": "a.mp4"}, "expected a list of rows, found dict"),
        ("clevrer", "train.json", [{"scene_index": 0, "video_filename": "v"}], "row 1: field `questions` is missing"),
    ],
)
def test_a_bad_row_is_named_by_file_row_and_field(tmp_path, name, file, broken, message):
    write_json(tmp_path / file, broken)
    with pytest.raises(UserError, match=message):
        load_records(name, tmp_path)


def test_a_missing_or_truncated_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"chat\.json: annotation file not found"):
        load_records("llava_cc3m", tmp_path)
    (tmp_path / "chat.json").write_text('[{"id": ')
    with pytest.raises(UserError, match=r"chat\.json: not valid JSON"):
        load_records("llava_cc3m", tmp_path)


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(UserError, match="no training set is named next_qa; the nearest one is nextqa"):
        load_records("next_qa", ".")


@given(st.integers(1, 30), st.integers(1, 12))
def test_cutting_keeps_every_round_once_and_in_order(count, most):
    record = {"id": "a", "video": "a.mp4", "conversations": talk([(f"q{n}", f"a{n}") for n in range(count)])}
    pieces = list(cut_rounds([record], most))
    assert [pair for piece in pieces for pair in rounds(piece)] == rounds(record)
    assert all(len(rounds(piece)) <= most and piece["video"] == "a.mp4" for piece in pieces)
    assert len({piece["id"] for piece in pieces}) == len(pieces)


def test_media_are_found_under_other_suffixes_and_never_replaced(tmp_path):
    for file in ("activitynet/train/v_1.mkv", "ocr_vqa/images/1.png", "vg/images/2.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert locate(tmp_path, "activitynet/train/v_1.mp4").name == "v_1.mkv"
    assert locate(tmp_path, "ocr_vqa/images/1.jpg").name == "1.png"
    assert locate(tmp_path, "vg/VG_100K_2/2.jpg").parent.name == "images"
    assert locate(tmp_path, "activitynet/train/v_2.mp4") is None


def test_statistics_count_samples_media_rounds_and_tokens(read):
    records = read("videochatgpt")
    counts = statistics(records, count_tokens=lambda text: len(text.split()))
    assert counts["total"] == counts["video"]
    assert counts["video"]["samples"] == counts["video"]["rounds"] == 3 and counts["video"]["media"] == 2
    assert counts["video"]["answer_words"] == 6
    assert counts["video"]["tokens"] == counts["video"]["question_words"] + 6
    assert media_of(records) == ["activitynet/train/v_1.mp4", "activitynet/train/v_2.mp4"]
