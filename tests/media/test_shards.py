"""A shard is a safetensors file, needs no memory of its size, and a killed one goes on where it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from compare_storage import store_again
from safetensors import safe_open

from dynfocus.errors import UserError
from dynfocus.features.extract import TOGETHER, encode, gathered
from dynfocus.features.precision import as_stored, pack
from dynfocus.features.store import FRAMES, MESSAGE, UNREADABLE, FeatureStore, ShardWriter
from dynfocus.network import clip

MEDIA = [f"videos/Grüße {number}.mp4" for number in range(5)]


def features(number: int, dtype=torch.float16) -> torch.Tensor:
    torch.manual_seed(number)
    return torch.randn(number + 1, 4, 8).to(dtype)


def write(writer: ShardWriter, numbers) -> None:
    for number in numbers:
        writer.add(MEDIA[number], features(number), torch.arange(number + 1) * 7)


def assert_whole(out) -> None:
    with safe_open(out, framework="pt") as shard:
        assert set(shard.keys()) == {name for medium in MEDIA for name in (medium, medium + FRAMES)}
        for number, medium in enumerate(MEDIA):
            assert torch.equal(shard.get_tensor(medium), features(number))
            assert torch.equal(shard.get_tensor(medium + FRAMES), torch.arange(number + 1) * 7)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "shard-0-of-1.safetensors"


def test_what_is_written_comes_back_and_nothing_else_stays(out):
    writer = ShardWriter(out, MEDIA, "a")
    write(writer, range(5))
    assert not out.exists()
    writer.finish()
    assert_whole(out)
    assert list(out.parent.iterdir()) == [out]


def test_a_killed_shard_keeps_media_of_any_name(out):
    names = [
        "a\nb.mp4",
        "[red]c.mp4",
        "-rf",
        "'\"`$(x).mp4",
        "\u2028\x85\x0b.mp4",
        "\x1b[31m.mp4",
        "{set}.mp4",
        "é.mp4",
    ]
    writer = ShardWriter(out, names, "a")
    for number, name in enumerate(names[:-1]):
        writer.add(name, features(number), torch.arange(number + 1))
    writer.close()
    again = ShardWriter(out, names, "a")
    assert again.finished == set(names[:-1])
    again.fault(names[-1], 'a "fault"')
    again.finish()
    store = FeatureStore(out.parent)
    assert set(store.ids()) == set(names[:-1])
    assert all(torch.equal(store.get(name), features(number)) for number, name in enumerate(names[:-1]))


@pytest.mark.parametrize("cut", ["between media", "inside a medium", "inside the journal"])
def test_a_killed_shard_goes_on(out, cut):
    writer = ShardWriter(out, MEDIA, "a")
    write(writer, range(3))
    writer.close()
    partial, journal = out.with_suffix(".partial"), out.with_suffix(".journal")
    if cut == "inside a medium":
        partial.write_bytes(partial.read_bytes()[:-5])
    elif cut == "inside the journal":
        journal.write_bytes(journal.read_bytes()[:-5])
    again = ShardWriter(out, MEDIA, "a")
    assert again.finished == set(MEDIA[:3] if cut == "between media" else MEDIA[:2])
    write(again, [number for number in range(5) if MEDIA[number] not in again.finished])
    again.finish()
    assert_whole(out)


def test_other_work_starts_anew(out):
    writer = ShardWriter(out, MEDIA, "a")
    write(writer, range(3))
    writer.close()
    assert ShardWriter(out, MEDIA, "b").finished == set()


def test_faults_are_named_in_the_shard_and_tried_again_by_the_next_start(out):
    writer = ShardWriter(out, MEDIA, "a")
    writer.fault(MEDIA[0], "ä" * 1000)
    assert writer.finished == {MEDIA[0]}
    writer.close()
    again = ShardWriter(out, MEDIA, "a")
    assert again.finished == set()
    for medium in MEDIA:
        again.fault(medium, "ä" * 1000)
    again.finish()
    with safe_open(out, framework="pt") as shard:
        assert json.loads(shard.metadata()[UNREADABLE]) == ["ä" * (MESSAGE // 2)] * 5


def test_an_empty_shard_can_be_opened(out):
    ShardWriter(out, [], "a").finish()
    with safe_open(out, framework="pt") as shard:
        assert list(shard.keys()) == []


class Counting(torch.nn.Module):
    """A tower whose feature of a frame is its first pixel, and which counts its passes."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.passes = []

    def normalise(self, frames):
        return clip.normalize(frames)

    def videos(self, pixels):
        self.passes.append(pixels.shape[1])
        return pixels[:, :, :1, 0, :1]


def test_frames_of_several_media_share_a_pass_and_return_to_their_media():
    media = [
        (f"{number}", np.full((count, 2, 2, 3), number, np.uint8), np.arange(count))
        for number, count in enumerate((1, 1, 3, 2))
    ]
    tower = Counting()
    found = {}
    for group in gathered(media, 4):
        for (medium, _, _), seen in zip(group, encode(tower, group, torch.device("cpu")), strict=True):
            found[medium] = seen
    assert tower.passes == [5, 2]
    assert [len(found[f"{number}"]) for number in range(4)] == [1, 1, 3, 2]
    assert len({found[f"{number}"].unique().item() for number in range(4)}) == 4


def test_on_a_cpu_each_medium_has_its_own_pass():
    assert [len(group) for group in gathered([("a", np.zeros((1, 1)), None)] * 3, TOGETHER["cpu"])] == [1, 1, 1]


def test_eight_bits_come_back_within_half_a_step(out):
    media = [(name, 10.0 ** torch.arange(-4, 4) * features(number).float()) for number, name in enumerate(MEDIA)]
    media[0][1][..., 3] = 5.0
    writer = ShardWriter(out, MEDIA, "a")
    for name, values in media:
        stored, scale = pack(values, "int8")
        writer.add(name, stored, torch.arange(len(values)), scale)
    writer.finish()
    store = FeatureStore(out.parent)
    assert store.ids() == MEDIA
    for name, values in media:
        step = (values.amax((0, 1)) - values.amin((0, 1))) / 255
        back = store.get(name)
        assert back.dtype == torch.float16 and torch.equal(back, as_stored(values, "int8"))
        assert ((back.float() - values).abs() <= 0.501 * step + 1e-3 * values.abs()).all()
    assert (store.get(MEDIA[0])[..., 3] == 5).all()


def test_a_killed_shard_of_eight_bits_goes_on(out):
    for start in (range(3), range(3, 5)):
        writer = ShardWriter(out, MEDIA, "a")
        assert writer.count == start[0]
        for number in start:
            stored, scale = pack(features(number), "int8")
            writer.add(MEDIA[number], stored, torch.arange(number + 1), scale)
        writer.close() if start[0] == 0 else writer.finish()
    store = FeatureStore(out.parent)
    assert all(torch.equal(store.get(name), as_stored(features(n), "int8")) for n, name in enumerate(MEDIA))


def test_a_store_of_fp32_is_stored_again_in_eight_bits(out, tmp_path):
    writer = ShardWriter(out, MEDIA, "a")
    for number, name in enumerate(MEDIA):
        writer.add(name, features(number, torch.float32).repeat(1, 16, 4), torch.arange(number + 1))
    writer.finish()
    made = {name: store_again(out.parent, tmp_path / "again" / name, name) for name in ("fp32", "fp16", "int8")}
    assert made["fp32"]["error"] == 0 < made["fp16"]["error"] < made["int8"]["error"] < 0.02
    assert made["int8"]["bytes"] < made["fp16"]["bytes"] < made["fp32"]["bytes"]
    with pytest.raises(UserError, match="compare a run whose `feature_precision` is fp32"):
        store_again(tmp_path / "again" / "int8", tmp_path / "no", "int8")
