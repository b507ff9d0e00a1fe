"""The feature store holds what the encoder sees of every medium, whatever the number of shards; faults are counted."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from films import decode_all, pictures, write_film
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.models.clip import CLIPImageProcessorPil

from dynfocus.errors import UserError
from dynfocus.features.extract import encode, extract, fit, pad, padding, read_medium
from dynfocus.features.store import FeatureStore
from dynfocus.ledger.coverage import media_of_set
from dynfocus.network import clip
from dynfocus.network.vision import load_vision_tower

SIDE = 32
SHAPE = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": SIDE, "patch_size": 8, "width": 32, "head_width": 16, "layers": 3},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
}
FILMS = [f"{number}.mp4" for number in range(10)]


@pytest.fixture(scope="module")
def clip_dir(tmp_path_factory):
    """A random CLIP with 4 × 4 patches of width 32."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    clip.save(clip.build(SHAPE), SHAPE, folder)
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A WebVidQA with ten films of 1 to 10 seconds, four frames a second."""
    folder = tmp_path_factory.mktemp("webvid_qa")
    for number, name in enumerate(FILMS):
        write_film(folder / "videos" / name, pictures(4 * (number + 1), SIDE, SIDE, seed=number))
    rows = [{"video": name, "QA": [{"i": "", "q": "what?", "a": name}]} for name in FILMS]
    (folder / "train.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def configure(mini_config):
    """The default profile at the size of the random CLIP, with other settings of `video` or of the top level."""

    def configured(precision: str = "fp32", **video):
        changed = mini_config.video.model_copy(update={"image_size": SIDE, "min_readable": 1.0, "fps": 1.0, **video})
        return mini_config.model_copy(update={"video": changed, "feature_precision": precision})

    return configured


def extract_all(config, folder, clip_dir, out, shards: int = 1) -> FeatureStore:
    for shard in range(shards):
        path = out / f"shard-{shard}-of-{shards}.safetensors"
        media = media_of_set("webvid_qa", folder)[shard::shards]
        extract(config, "webvid_qa", media, folder, clip_dir, path, made_of=f"{config.video} {shards}")
    return FeatureStore(out)


def copy_of(folder, target):
    """The set with its films as links, so that a test can replace one."""
    (target / "videos").mkdir(parents=True)
    for name in FILMS:
        (target / "videos" / name).symlink_to(folder / "videos" / name)
    (target / "train.json").write_bytes((folder / "train.json").read_bytes())
    return target


def replace(path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_what_is_stored_comes_back(tmp_path):
    tensors = {"videos/a.mp4": torch.randn(3, 4, 5), "videos/a.mp4.frames": torch.tensor([0, 7, 9])}
    save_file(tensors, tmp_path / "shard-0-of-2.safetensors")
    others = {"b.jpg": torch.randn(1, 4, 5).half(), "b.jpg.frames": torch.tensor([0])}
    save_file(others, tmp_path / "shard-1-of-2.safetensors")
    store = FeatureStore(tmp_path)
    assert sorted(store.ids()) == ["b.jpg", "videos/a.mp4"]
    assert "b.jpg" in store and "b.jpg.frames" not in store and "c.jpg" not in store
    assert torch.equal(store.get("videos/a.mp4"), tensors["videos/a.mp4"])
    assert torch.equal(store.frames("videos/a.mp4"), tensors["videos/a.mp4.frames"])
    assert store.get("b.jpg").dtype == torch.float16


def test_a_medium_that_is_not_stored_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no features of videos/c\.mp4; run `dynfocus extract-features`"):
        FeatureStore(tmp_path).get("videos/c.mp4")


def test_features_are_the_blocks_patch_tokens_of_the_sampled_frames(configure, films, clip_dir, tmp_path):
    config = configure()
    store = extract_all(config, films, clip_dir, tmp_path)
    assert store.ids() != [] and sorted(store.ids()) == sorted(f"videos/{name}" for name in FILMS)
    tower = load_vision_tower(clip.load(clip_dir).visual, config.backbones.clip.layer)
    for number, name in enumerate(FILMS):
        key, frames = f"videos/{name}", decode_all(films / "videos" / name)
        assert store.frames(key).tolist() == list(range(0, 4 * (number + 1), 4))
        assert store.get(key).shape == (number + 1, 16, 32)
        expected = tower(clip.normalize(frames[store.frames(key).numpy()]))
        torch.testing.assert_close(store.get(key), expected, atol=1e-5, rtol=1e-5)


def test_the_cap_thins_the_frames_and_their_indices(configure, films, clip_dir, tmp_path):
    store = extract_all(configure(max_frames=6, capped_frames=3), films, clip_dir, tmp_path)
    assert store.frames("videos/5.mp4").tolist() == [0, 4, 8, 12, 16, 20]
    # Nine frames at 0, 4, ..., 32; places (i + 1) * 9 / 3 - 1 = 2, 5, 8.
    assert store.frames("videos/8.mp4").tolist() == [8, 20, 32]
    assert len(store.get("videos/8.mp4")) == 3


def test_three_shards_hold_what_one_holds_and_each_medium_once(configure, films, clip_dir, tmp_path):
    config = configure()
    one = extract_all(config, films, clip_dir, tmp_path / "one")
    three = extract_all(config, films, clip_dir, tmp_path / "three", shards=3)
    held = []
    for path in sorted((tmp_path / "three").iterdir()):
        with safe_open(path, framework="pt") as shard:
            held += [key for key in list(shard.keys()) if not key.endswith(".frames")]
    assert sorted(held) == sorted(one.ids()) == sorted(media_of_set("webvid_qa", films))
    for key in one.ids():
        assert torch.equal(one.get(key), three.get(key))
        assert torch.equal(one.frames(key), three.frames(key))


def test_more_shards_than_media_leave_empty_ones(configure, films, clip_dir, tmp_path):
    store = extract_all(configure(), films, clip_dir, tmp_path, shards=12)
    assert len(list(tmp_path.iterdir())) == 12
    assert len(store.ids()) == 10


def test_half_precision_halves_the_store(configure, films, clip_dir, tmp_path):
    full = extract_all(configure(), films, clip_dir, tmp_path / "full").get("videos/3.mp4")
    half = extract_all(configure("fp16"), films, clip_dir, tmp_path / "half").get("videos/3.mp4")
    assert half.dtype == torch.float16
    assert torch.equal(half, full.half())


def test_a_truncated_video_stops_the_default_and_is_named(configure, films, clip_dir, tmp_path, capsys):
    data = copy_of(films, tmp_path / "data")
    broken = data / "videos" / "4.mp4"
    whole = broken.read_bytes()
    replace(broken, whole[: len(whole) // 2])
    out = tmp_path / "features"
    with pytest.raises(UserError, match=r"webvid_qa: 1 of 10 media cannot be read .* first: .*4\.mp4") as error:
        extract_all(configure(), data, clip_dir, out)
    assert "\n" not in str(error.value)
    assert str(broken) in capsys.readouterr().err
    assert not list(out.glob("*.safetensors"))
    shutil.copy(films / "videos" / "4.mp4", broken)
    assert len(extract_all(configure(), data, clip_dir, out).ids()) == 10


def test_a_killed_extraction_goes_on_to_the_same_features(configure, films, clip_dir, tmp_path, monkeypatch, capsys):
    whole = extract_all(configure(), films, clip_dir, tmp_path / "whole")
    done = []

    def killed(*arguments):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(None)
        return encode(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("dynfocus.features.extract.encode", killed)
        extract_all(configure(), films, clip_dir, tmp_path / "cut")
    assert not list((tmp_path / "cut").glob("*.safetensors"))
    again = extract_all(configure(), films, clip_dir, tmp_path / "cut")
    assert "going on after 4 of 10 media" in capsys.readouterr().err
    assert sorted(again.ids()) == sorted(whole.ids())
    for key in whole.ids():
        assert torch.equal(again.get(key), whole.get(key))


def test_a_lower_threshold_leaves_it_out_and_lists_it(configure, films, clip_dir, tmp_path, capsys):
    data = copy_of(films, tmp_path / "data")
    replace(data / "videos" / "4.mp4", b"text, not a film\n" * 50)
    out = tmp_path / "features"
    store = extract_all(configure(min_readable=0.9), data, clip_dir, out)
    assert "videos/4.mp4" not in store and "videos/4.mp4.frames" not in store
    assert len(store.ids()) == 9
    with safe_open(next(out.iterdir()), framework="pt") as shard:
        (fault,) = json.loads(shard.metadata()["unreadable"])
    assert str(data / "videos" / "4.mp4") in fault
    assert fault in capsys.readouterr().err


def test_a_missing_video_counts_as_unreadable(configure, films, clip_dir, tmp_path, capsys):
    data = copy_of(films, tmp_path / "data")
    for name in FILMS[:2]:
        (data / "videos" / name).unlink()
    with pytest.raises(UserError, match="2 of 10 media cannot be read"):
        extract_all(configure(min_readable=0.9), data, clip_dir, tmp_path / "features")
    assert capsys.readouterr().err.count("missing; fetch the set again") == 2


def test_a_set_without_faults_lists_none(configure, films, clip_dir, tmp_path):
    extract_all(configure(), films, clip_dir, tmp_path)
    with safe_open(next(tmp_path.iterdir()), framework="pt") as shard:
        assert json.loads(shard.metadata()["unreadable"]) == []


def mean_color() -> np.ndarray:
    return np.array([round(255 * value) for value in clip.MEAN.flatten().tolist()])


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (31, 30)])
def test_an_image_is_padded_to_a_square_with_the_mean_color(size):
    image = Image.new("RGB", size, "white")
    square = np.asarray(pad(image))
    side = max(size)
    assert square.shape == (side, side, 3)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    inside = np.zeros((side, side), dtype=bool)
    inside[top : top + size[1], left : left + size[0]] = True
    assert (square[inside] == 255).all()
    assert (square[~inside] == mean_color()).all()


def test_an_image_is_padded_and_a_video_is_cropped(configure, tmp_path):
    video = configure().video
    Image.new("RGB", (64, 32), "white").save(tmp_path / "wide.png")
    pixels, indices = read_medium(tmp_path, "wide.png", video)
    assert pixels.shape == (1, SIDE, SIDE, 3) and indices.tolist() == [0]
    assert (pixels[0, 10:22] == 255).all()
    assert (pixels[0, :4] == mean_color()).all() and (pixels[0, -4:] == mean_color()).all()
    frames = np.zeros((4, SIDE, 2 * SIDE, 3), dtype=np.uint8)
    frames[:, :, SIDE // 2 : -SIDE // 2] = 255
    write_film(tmp_path / "wide.mp4", frames)
    pixels, indices = read_medium(tmp_path, "wide.mp4", video)
    assert pixels.shape == (1, SIDE, SIDE, 3) and indices.tolist() == [0]
    assert pixels[:, :, 4:-4].min() > 240, "the middle of the frame fills the crop"


def test_a_square_of_the_right_size_is_left_alone():
    pixels = pictures(1, SIDE, SIDE)[0]
    assert np.array_equal(fit(Image.fromarray(pixels), SIDE), pixels)


@pytest.mark.parametrize("size", [(100, 50), (33, 200), (32, 33), (320, 240), (43, 32)])
def test_a_frame_is_what_the_processor_of_clip_makes_of_it(size):
    image = Image.fromarray(pictures(1, size[1], size[0])[0])
    clips = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SIDE, do_normalize=False, do_rescale=False)
    assert np.array_equal(fit(image, SIDE), clips(image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0))


def test_images_of_stage_1_are_cropped_as_frames_are(configure, tmp_path):
    assert padding("llava_cc3m", clip.MEAN) is None and padding("llava_625k", clip.MEAN) is clip.MEAN
    Image.fromarray(pictures(1, 32, 64)[0]).save(tmp_path / "wide.png")
    pixels, _ = read_medium(tmp_path, "wide.png", configure().video, None)
    assert np.array_equal(pixels[0], fit(Image.open(tmp_path / "wide.png"), SIDE))


def test_a_broken_image_is_named(configure, tmp_path):
    (tmp_path / "broken.jpg").write_text("not an image")
    with pytest.raises(UserError, match=r"broken\.jpg: not a readable image") as error:
        read_medium(tmp_path, "broken.jpg", configure().video)
    assert "\n" not in str(error.value)


def test_the_media_of_a_benchmark_are_its_videos_once_each(tmp_path):
    questions = [{"video_name": "b", "question": "what?", "question_id": f"q{number}"} for number in range(2)]
    questions.append({"video_name": "a", "question": "what?", "question_id": "q2"})
    answers = [{"answer": "red", "question_id": question["question_id"]} for question in questions]
    (tmp_path / "test_q.json").write_text(json.dumps(questions))
    (tmp_path / "test_a.json").write_text(json.dumps(answers))
    (tmp_path / "videos").mkdir()
    for name in "ab":
        (tmp_path / "videos" / f"{name}.mp4").touch()
    assert media_of_set("msvd_qa", tmp_path) == ["videos/b.mp4", "videos/a.mp4"]
