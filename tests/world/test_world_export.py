"""Every set of the mini world is written in the official files, the same for a seed, from films of its own."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_features__
from PIL import Image
from world_files import TINY, with_world, write_annotations

from dynfocus.config.names import BENCHMARKS, TRAINING_SETS
from dynfocus.config.schema import DATASETS
from dynfocus.datasets import load_records, locate, media_of, modality, rounds
from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.features.decode import frame_count
from dynfocus.features.packets import survey
from dynfocus.world import export
from dynfocus.world.films import make_film
from dynfocus.world.render import film_frames, write_mp4
from dynfocus.world.seeds import SPLITS, film_seeds


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_world_has_every_training_set_and_benchmark():
    assert set(export.SETS) == set(DATASETS) == set(TRAINING_SETS) | set(BENCHMARKS)


@pytest.mark.parametrize("name", TRAINING_SETS)
def test_the_official_reader_of_a_training_set_reads_it_and_finds_every_medium(name, tiny_sets):
    folder, films = tiny_sets
    records = load_records(name, folder / name)
    assert len(records) >= 6
    assert {modality(record) for record in records} == {
        "image" if export.SETS[name].count == "train_images" else "video"
    }
    assert all(question and answer for record in records for question, answer in rounds(record))
    media = media_of(records)
    assert {locate(folder / name, medium) for medium in media} == set(films[name])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_official_reader_of_a_benchmark_reads_it_and_finds_every_video(name, tiny_sets):
    folder, films = tiny_sets
    questions = load_questions(benchmark(name), folder)
    shown = {folder / name / question.video for question in questions if question.video is not None}
    assert len(shown) >= (7 if name == "scienceqa_test" else 9) and shown <= set(films[name])
    for question in questions:
        assert question.gold
        if question.options:
            assert len(set(question.options)) == len(question.options) >= 3
            assert question.gold in "ABCDEF"[: len(question.options)]


def test_the_same_seed_gives_the_same_annotations_in_another_process(tiny_config, tiny_sets, repository, tmp_path):
    folder, _ = tiny_sets
    settings = ", ".join(f"{key}={value}" for key, value in TINY.items())
    code = (
        "from pathlib import Path; from world_files import with_world, write_annotations;"
        "from dynfocus.config import load_config;"
        f"config = load_config([Path({str(repository / 'config' / 'mini.yaml')!r})]);"
        f"write_annotations(with_world(config, {settings}), Path({str(tmp_path)!r}))"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parent)},
        check=True,
    )
    assert digests(tmp_path) == digests(folder)


def test_another_seed_gives_other_annotations(tiny_config, tiny_sets, tmp_path):
    folder, _ = tiny_sets
    write_annotations(with_world(tiny_config, seed=1), tmp_path)
    ours, theirs = digests(folder), digests(tmp_path)
    annotations = {path for path in ours if path.endswith((".json", ".jsonl", ".csv"))}
    same = {path for path in annotations if ours[path] == theirs.get(path)}
    assert {Path(path).name for path in same} == {"pid_splits.json"}, "only a list of row numbers may be equal"


def test_sets_and_seeds_never_share_a_film(tiny_config, tiny_sets, tmp_path):
    _, films = tiny_sets
    seeds = [{film.seed for film in shown.values()} for shown in films.values()]
    seeds += [
        {film.seed for film in shown.values()}
        for shown in write_annotations(with_world(tiny_config, seed=1), tmp_path).values()
    ]
    seeds += [set(film_seeds("reading", seed, 3000)) for seed in (0, 1)]
    for one, other in itertools.combinations(seeds, 2):
        assert one and other and not one & other


def test_a_large_world_keeps_its_splits_apart():
    ranges = [film_seeds(split, seed, 10**9) for seed in range(3) for split in SPLITS]
    for one, other in itertools.pairwise(ranges):
        assert one.stop <= other.start


def test_an_unknown_set_is_named(tiny_config, tmp_path):
    with pytest.raises(UserError, match="no set msvd; it has webvid_cap, "):
        export.prepare(tiny_config, "msvd", tmp_path)


def test_rendered_media_have_the_frames_and_size_of_the_configuration(tiny_config, tmp_path):
    config = with_world(tiny_config, train_images=1, test_films=2, frame_size=64, frame_rate=3)
    export.prepare(config, "msrvtt_qa", tmp_path / "msrvtt_qa")
    export.prepare(config, "llava_cc3m", tmp_path / "llava_cc3m")
    films = sorted((tmp_path / "msrvtt_qa" / "videos").glob("*.mp4"))
    assert [frame_count(path) for path in films] == [24 * 3, 2 * 24 * 3]
    assert {survey(path).rate for path in films} == {3.0}
    (still,) = (tmp_path / "llava_cc3m" / "images").iterdir()
    assert np.asarray(Image.open(still)).shape == (64, 64, 3)


REDUCED = (
    "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR F16C XOP SSE42 X86_V3 X86_V4"
)


@pytest.mark.parametrize(("asm", "size"), [(0, 128), ("sse2", 128), (0, 88)])
def test_a_world_made_with_fewer_instructions_has_equal_bytes(asm, size, tiny_config, tmp_path):
    """numpy without vector extensions, x264 without its own: what another processor would take."""
    few = {"train_clips": 2, "train_films": 1, "train_images": 2, "test_films": 1, "frame_size": size}
    sets = ("webvid_cap", "videochatgpt", "llava_cc3m", "scienceqa", "mlvu")
    for name in sets:
        export.prepare(with_world(tiny_config, **few), name, tmp_path / "here" / name)
    code = f"""if True:
        from pathlib import Path
        import av
        from world_files import with_world
        from dynfocus.config import load_config
        from dynfocus.world import export, render
        render.X264["x264-params"] += ":asm={asm}"
        config = with_world(load_config([Path("config/mini.yaml")]), **{few})
        for name in {sets}:
            export.prepare(config, name, Path({str(tmp_path / "there")!r}) / name)
    """
    supported = [name for name in REDUCED.split() if __cpu_features__.get(name)]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}",
        "NPY_DISABLE_CPU_FEATURES": " ".join(supported),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    assert sum(path.suffix == ".mp4" for path in (tmp_path / "there").rglob("*")) >= 4


def test_an_mp4_rendered_twice_has_equal_bytes(tmp_path):
    film = make_film(3, scenes=2)
    for name in ("one.mp4", "two.mp4"):
        write_mp4(tmp_path / name, film_frames(film, 128, 2), 2)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
