"""Every adapter reads the official layout, and says which file, row and field it lacks."""

from __future__ import annotations

import json

import official_files
import pytest

from dynfocus.config.schema import Evaluation
from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import (
    BENCHMARKS,
    Selection,
    benchmark,
    load_questions,
    require_some_video,
    sampled,
    selection,
)

NAMES = tuple(BENCHMARKS)


@pytest.fixture
def data_dir(tmp_path):
    official_files.all_sets(tmp_path)
    return tmp_path


def questions_of(name, data_dir):
    return {question.question_id: question for question in load_questions(benchmark(name), data_dir)}


@pytest.mark.parametrize("name", NAMES)
def test_every_question_is_complete(name, data_dir):
    adapter = benchmark(name)
    for question in load_questions(adapter, data_dir):
        assert question.benchmark == name
        assert question.encoder_prompt and question.encoder_prompt in question.text
        assert question.options is None or question.gold in "ABCDEF"[: len(question.options)]
        assert question.video is None or not question.video.startswith("/")
        if question.video is not None:
            assert (data_dir / adapter.data_set / question.video).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_first_metric_is_the_headline(name):
    assert benchmark(name).metrics[0].name == benchmark(name).headline


def test_msvd_rows_are_joined_by_id_and_not_by_position(data_dir):
    questions = questions_of("msvd_qa", data_dir)
    assert [question.gold for question in questions.values()] == [f"thing{i}" for i in range(6)]
    first = questions["v_clip0_0_10_0"]
    assert first.video == "videos/clip0_0_10.avi"
    assert first.text == first.encoder_prompt == "what is shown in clip0_0_10 at 0?"
    assert first.groups == {"first_word": ("what",)}


def test_msvd_single_file_layout(tmp_path):
    folder = tmp_path / "msvd_qa"
    row = {"video_id": "vid1", "question": "who runs?", "id": 7, "answer": "man"}
    official_files.write(folder / "test_qa.json", [row])
    official_files.touch(folder / "video" / "vid1.mp4")
    (question,) = questions_of("msvd_qa", tmp_path).values()
    assert (question.question_id, question.video, question.gold) == ("7", "video/vid1.mp4", "man")


COPIES = [
    ("msrvtt_qa", "test_q", {"video_name": "video7010.mp4"}, "videos/all/video7010.mp4"),
    ("msrvtt_qa", "test_qa", {"video_id": 7010, "id": 4}, "videos/all/video7010.mp4"),
    ("msrvtt_qa", "msrvtt_qa", {"video_name": "video7010"}, "videos/video7010.mkv"),
    ("msrvtt_qa", "test", {"video": "video7010.mp4", "question_id": 9}, "all/video7010.mp4"),
    ("msvd_qa", "test_qa", {"video_id": 1451, "id": 0}, "video/vid1451.avi"),
    ("msvd_qa", "test_qa", {"video_id": "vid1451", "id": 0}, "videos/rw9h_574HxE_229_236.avi"),
    ("msvd_qa", "msvd_qa", {"video_name": "rw9h_574HxE_229_236.avi"}, "videos/rw9h_574HxE_229_236.mp4"),
    ("activitynet_qa", "test_q", {"video_name": "v_1QIUV7WYKXg"}, "all_test/v_1QIUV7WYKXg.mp4"),
    ("activitynet_qa", "test_qa", {"video_id": "1QIUV7WYKXg", "id": "v_1QIUV7WYKXg_3"}, "videos/1QIUV7WYKXg.webm"),
    ("activitynet_qa", "test_q", {"video_name": "v_bcdefghij"}, "all_test/v_v_bcdefghij.mp4"),
]


@pytest.mark.parametrize(("name", "file", "named", "video"), COPIES)
def test_public_copies_name_videos_in_their_own_ways(tmp_path, name, file, named, video):
    folder = tmp_path / name
    row = {"question": "what is done", "answer": "run"} | named
    if file == "test_q":
        official_files.write(folder / "test_q.json", [row | {"question_id": "a"}])
        official_files.write(folder / "test_a.json", [{"question_id": "a", "answer": "run", "type": None}])
    else:
        official_files.write(
            folder / f"{file}.json", [row, row | {"id": "other", "question_id": "other"}][: 1 + ("id" in row)]
        )
    official_files.touch(folder / video)
    if name == "msvd_qa":
        (folder / "youtube_mapping.txt").write_text("-4wsuPCjDBc_5_15 vid1\nrw9h_574HxE_229_236 vid1451\n")
    found = questions_of(name, tmp_path)
    assert {question.video for question in found.values()} == {video}


def test_rows_without_an_id_are_numbered_by_their_video(tmp_path):
    rows = [{"video_name": f"clip{n % 2}", "question": "what", "answer": "x"} for n in range(4)]
    official_files.write(tmp_path / "msvd_qa/msvd_qa.json", rows)
    assert list(questions_of("msvd_qa", tmp_path)) == ["clip0_0", "clip1_0", "clip0_1", "clip1_1"]


def parquet_of(file, rows):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)


def test_the_folders_of_lmms_eval_are_read_as_they_lie_on_disk(tmp_path):
    """Each set's cache folder with its parquet linked into it, as docs/benchmarks/LAYOUT.md says."""
    shard = "test-00000-of-00001.parquet"
    parquet_of(tmp_path / f"video_mme/{shard}", [official_files.VIDEO_MME_ROW])
    official_files.touch(tmp_path / "video_mme/data/aaaaaaaaaaa.MP4")
    row = {"video_name": "1QIUV7WYKXg", "question_id": "q", "question": "is it day", "answer": "yes", "type": "3"}
    parquet_of(tmp_path / f"activitynet_qa/data/{shard}", [row])
    official_files.touch(tmp_path / "activitynet_qa/all_test/v_1QIUV7WYKXg.webm")
    flat = {"video_path": "Cm73ma6Ibcs.mp4", "question": "What?", "options": ["red", "blue"], "answer": "B"}
    parquet_of(tmp_path / "lvbench/data/train-00000-of-00001.parquet", [flat, flat])
    official_files.touch(tmp_path / "lvbench/Cm73ma6Ibcs.mp4")
    answers = dict.fromkeys(("a0", "a1", "a2", "a3", "a4"), "x")
    parquet_of(
        tmp_path / f"nextqa_test/MC/{shard}",
        [{"video": 11, "question": "why", "answer": 4, "qid": 6, "type": "CW", **answers}],
    )
    official_files.touch(tmp_path / "nextqa_test/NExTVideo/11.mp4")
    for name, video in (
        ("video_mme", "data/aaaaaaaaaaa.MP4"),
        ("activitynet_qa", "all_test/v_1QIUV7WYKXg.webm"),
        ("lvbench", "Cm73ma6Ibcs.mp4"),
        ("nextqa_test", "NExTVideo/11.mp4"),
    ):
        assert {question.video for question in questions_of(name, tmp_path).values()} == {video}
    assert questions_of("activitynet_qa", tmp_path)["q"].groups["type"] == ("yes/no",)
    assert questions_of("lvbench", tmp_path)["1"].options == ("red", "blue")
    assert questions_of("nextqa_test", tmp_path)["11_6"].gold == "E"


def test_vcg_bench_of_the_hub_equals_the_files(tmp_path):
    folder = tmp_path / "files/vcg_bench"
    official_files.vcg_bench(folder)
    for part in ("generic", "temporal", "consistency"):
        rows = []
        for row in json.loads((folder / f"{part}_qa.json").read_text()):
            common = {"video_name": row["video_name"], "answer": row["A"]}
            if part == "consistency":
                rows.append(common | {"question": "None", "question_1": row["Q1"], "question_2": "None"})
                rows.append(common | {"question": "None", "question_1": "None", "question_2": row["Q2"]})
            else:
                rows.append(common | {"question": row["Q"], "question_1": "None", "question_2": "None"})
        parquet_of(tmp_path / f"hub/vcg_bench/{part.capitalize()}/test-00000-of-00001.parquet", rows)
    files, hub = questions_of("vcg_bench", tmp_path / "files"), questions_of("vcg_bench", tmp_path / "hub")
    assert files == hub


def test_a_video_that_is_not_there_keeps_its_official_path(data_dir):
    (data_dir / "msvd_qa/videos/clip0_0_10.avi").unlink()
    assert questions_of("msvd_qa", data_dir)["v_clip0_0_10_0"].video == "videos/clip0_0_10.avi"


def test_activitynet_file_names_have_a_prefix_even_before_an_id_that_begins_like_it(data_dir):
    questions = questions_of("activitynet_qa", data_dir)
    assert questions["v_abcdefghijk_0"].video == "all_test/v_abcdefghijk.mp4"
    assert questions["v_v_bcdefghij_2"].video == "all_test/v_v_bcdefghij.mkv"
    assert questions["v_abcdefghijk_1"].groups == {"type": ("colour",), "free": ("free",)}
    assert questions["v_v_bcdefghij_2"].groups == {"type": ("motion",), "free": ("motion",)}


def test_vcg_questions_count_repeats_of_a_video(data_dir):
    assert list(questions_of("vcg_bench", data_dir)) == [
        "generic/v_abcdefghijk_0",
        "generic/v_abcdefghijk_1",
        "generic/v_bcdefghijkl_0",
        "generic/v_bcdefghijkl_1",
        "temporal/v_abcdefghijk_0",
        "temporal/v_bcdefghijkl_0",
        "consistency/v_abcdefghijk_0/1",
        "consistency/v_abcdefghijk_0/2",
        "consistency/v_bcdefghijkl_0/1",
        "consistency/v_bcdefghijkl_0/2",
    ]


def test_video_mme_prompt_is_the_official_one(tmp_path):
    official_files.write(tmp_path / "video_mme/test.json", [official_files.VIDEO_MME_ROW])
    (question,) = questions_of("video_mme", tmp_path).values()
    assert question.text.split("\n") == [
        "Select the best answer to the following multiple-choice question based on the video. "
        "Respond with only the letter (A, B, C, or D) of the correct option.",
        "How many balls are there?",
        "A. One.",
        "B. Two.",
        "C. Three.",
        "D. Four.",
        "The best answer is:",
    ]
    assert question.encoder_prompt == "How many balls are there?"
    assert question.options == ("One.", "Two.", "Three.", "Four.")
    assert question.groups["duration"] == ("short",)


def test_video_mme_parquet_equals_jsonl(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = official_files.video_mme(tmp_path / "lines/video_mme")
    official_files.video_mme(tmp_path / "table/video_mme")
    (tmp_path / "table/video_mme/test.jsonl").unlink()
    file = tmp_path / "table/video_mme/videomme/test-00000-of-00001.parquet"
    file.parent.mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    assert questions_of("video_mme", tmp_path / "table") == questions_of("video_mme", tmp_path / "lines")


def test_lvbench_splits_options_from_the_question_and_keeps_all_labels(data_dir):
    question = questions_of("lvbench", data_dir)["2"]
    assert question.encoder_prompt == "Which colour has ball 2?"
    assert question.options == ("Red", "Blue", "Green", "White")
    assert question.text.endswith("(D) White\nAnswer the question with the option letter")
    assert question.groups == {"capability": ("reasoning", "entity recognition"), "type": ("cartoon",)}


def test_mlvu_choice_prompt_and_generation_prompt(data_dir):
    questions = questions_of("mlvu", data_dir)
    choice = questions["1_plotQA/0"]
    assert choice.gold == "B" and choice.groups == {"task": ("plotQA",)}
    assert choice.video == "video/1_plotQA/plotQA_0.mp4"
    assert choice.text.split("\n")[1:] == [
        "Question: What colour is it in plotQA 0?",
        "Options:",
        "(A) Red",
        "(B) Blue",
        "(C) Green",
        "(D) White",
        "Only give the best option.",
        "Best Option: (",
    ]
    generation = questions["8_sub_scene/0"]
    assert generation.options is None and generation.groups == {"task": ("subPlot",)}
    assert generation.details == {"scoring_points": ("A ball is blue.", "The ball rolls.")}


def test_mlvu_equal_candidates_give_the_official_gold_and_accept_both(tmp_path):
    official_files.mlvu(tmp_path / "mlvu")
    file = tmp_path / "mlvu/json/1_plotQA.json"
    (row,) = json.loads(file.read_text())
    official_files.write(file, [row | {"candidates": ["Blue", "Red", "Blue", "White"]}, row | {"answer": "Pink"}])
    questions = questions_of("mlvu", tmp_path)
    assert (questions["1_plotQA/0"].gold, questions["1_plotQA/0"].details["accepted"]) == ("C", ("A", "C"))
    assert (questions["1_plotQA/1"].gold, questions["1_plotQA/1"].details["accepted"]) == ("@", ())


def test_mlvu_test_accepts_a_text_or_a_letter_as_answer(data_dir):
    questions = questions_of("mlvu_test", data_dir)
    assert (questions["AR_0"].gold, questions["AR_1"].gold) == ("E", "F")


def test_mlvu_test_without_answers_has_no_gold(data_dir):
    (data_dir / "mlvu_test/test_answer.json").unlink()
    assert {question.gold for question in questions_of("mlvu_test", data_dir).values()} == {None}


def test_videohallucer_pairs(data_dir):
    questions = questions_of("videohallucer", data_dir)
    assert len(questions) == 5 * 2 * 2
    half = questions["semantic_detail/1/hallucination"]
    assert half.video == "semantic_detail/videos/1b.mp4"
    assert half.text == "Is there a cat 1?\nAnswer the question using 'yes' or 'no'."
    assert half.gold == "no"


MISSING = [
    ("msvd_qa", "test_q.json", "question"),
    ("msvd_qa", "test_a.json", "answer"),
    ("activitynet_qa", "test_q.json", "video_name"),
    ("vcg_bench", "consistency_qa.json", "Q2"),
    ("video_mme", "test.jsonl", "videoID"),
    ("lvbench", "video_info.meta.jsonl", "key"),
    ("mlvu", "json/1_plotQA.json", "candidates"),
    ("mlvu", "json/8_sub_scene.json", "scoring_points"),
    ("mlvu_test", "test_question.json", "question_id"),
    ("videohallucer", "temporal/temporal.json", "hallucination"),
]


@pytest.mark.parametrize(("name", "file", "field"), MISSING)
def test_a_missing_field_names_file_row_and_field(name, file, field, data_dir):
    path = data_dir / benchmark(name).data_set / file
    text = path.read_text()
    rows = [json.loads(line) for line in text.splitlines()] if file.endswith("jsonl") else json.loads(text)
    del rows[-1][field]
    official_files.write(path, rows)
    with pytest.raises(UserError) as error:
        questions_of(name, data_dir)
    message = str(error.value)
    assert str(path) in message and f"row {len(rows)}" in message and f"`{field}`" in message
    assert "\n" not in message


def test_a_missing_field_of_an_inner_object_names_its_path(data_dir):
    path = data_dir / "lvbench/video_info.meta.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    del rows[0]["qa"][1]["uid"]
    official_files.write(path, rows)
    with pytest.raises(UserError, match=r"row 1, `qa` 2: field `uid` is missing"):
        questions_of("lvbench", data_dir)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_a_user_error(name, tmp_path):
    with pytest.raises(UserError, match="found"):
        questions_of(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_set_without_any_video_says_where_it_looked(name, data_dir):
    adapter = benchmark(name)
    questions = load_questions(adapter, data_dir)
    require_some_video(adapter, questions, data_dir / adapter.data_set)
    with pytest.raises(UserError, match="is there, for example") as caught:
        require_some_video(adapter, questions, data_dir / "elsewhere")
    assert all(str(data_dir / "elsewhere" / folder) in str(caught.value) for folder in adapter.video_folders)


SAMPLED = [("videohallucer", 5, 10), ("vcg_bench", 3, 4), ("mlvu", 9, 9), ("video_mme", 4, 4), ("scienceqa_test", 2, 2)]


@pytest.mark.parametrize(("name", "limit", "questions"), SAMPLED)
def test_a_sample_has_whole_units_of_every_label_that_is_averaged_over(name, limit, questions, data_dir):
    adapter, folder = benchmark(name), data_dir / benchmark(name).data_set
    every = adapter.load(folder)
    chosen = sampled(adapter, every, limit, seed=0)
    assert len({adapter.unit_of(question) for question in chosen}) == limit and len(chosen) == questions
    assert chosen == [question for question in every if question in chosen], "in the order of the file"
    if adapter.averaged_over:
        labels = {question.groups[adapter.averaged_over][0] for question in every}
        assert {question.groups[adapter.averaged_over][0] for question in chosen} == labels


def test_a_greater_sample_adds_to_a_smaller_one_and_another_seed_gives_another(tmp_path):
    official_files.video_mme(tmp_path / "video_mme", videos=30)
    adapter = benchmark("video_mme")
    every = adapter.load(tmp_path / "video_mme")
    ids = [{q.question_id for q in sampled(adapter, every, limit, seed)} for limit, seed in ((9, 0), (20, 0), (9, 1))]
    assert ids[0] < ids[1] and ids[0] != ids[2]
    assert sampled(adapter, every[::-1], 9, 0) == sampled(adapter, every, 9, 0)[::-1], "whatever the order of the rows"


def test_a_sample_is_named_in_the_record_unless_it_is_all(data_dir):
    adapter = benchmark("videohallucer")
    assert selection(adapter, data_dir, Evaluation(limit=4, limit_seed=7)) == Selection(4, 10, 7)
    assert selection(adapter, data_dir, Evaluation(limit=10)) is None
    assert selection(adapter, data_dir, Evaluation()) is None


def test_scienceqa_prompt_has_the_hint_as_context_and_no_image_means_text_alone(data_dir):
    questions = questions_of("scienceqa_test", data_dir)
    line = "Answer with the option's letter from the given choices directly."
    assert questions["4"].text == f"Which is round?\nA. cube\nB. ball\n{line}"
    assert questions["5"].text == f"Context: Balls are round.\nWhich is round?\nA. cube\nB. ball\nC. cone\n{line}"
    assert (questions["4"].video, questions["5"].video) == ("images/test/4/image.png", None)


def test_nextqa_reads_the_map_where_it_is_there(data_dir):
    question = questions_of("nextqa_test", data_dir)["11_6"]
    assert (question.video, question.gold) == ("NExTVideo/0101/2909.mp4", "E")
    assert question.text.split("\n")[:2] == ["why did he jump", "A. run"]


def test_a_repeated_question_id_is_refused(data_dir):
    path = data_dir / "video_mme/test.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match="occurs more than once"):
        questions_of("video_mme", data_dir)


def test_an_unknown_benchmark_names_the_nearest():
    with pytest.raises(UserError, match="no benchmark is named videomme; the nearest one is video_mme"):
        benchmark("videomme")
