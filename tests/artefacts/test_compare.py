"""Two roots: equal files, named exceptions, and nothing else."""

from __future__ import annotations

import json

import pytest

from dynfocus.artefacts.compare import compare_roots, report
from dynfocus.errors import UserError


def write_root(root, loss=0.5, seconds=1.0, finished="2026-01-01T00:00:00", answer="red"):
    trained, results = root / "checkpoints/instruction/dynfocus/seed-0", root / "results"
    for folder in (trained / "tensorboard", results / "answers", root / "work"):
        folder.mkdir(parents=True)
    (trained / "model.safetensors").write_bytes(b"weights")
    (trained / "log.csv").write_text(f"step,loss,seconds\n1,{loss},{seconds}\n")
    state = {"global_step": 1, "log_history": [{"loss": loss, "seconds": seconds}, {"train_runtime": seconds}]}
    (trained / "trainer_state.json").write_text(json.dumps(state))
    (trained / "tensorboard" / f"events.{finished}").write_text(finished)
    manifest = {"settings": {"seed": 0}, "finished": finished, "wall_seconds": seconds, "content": str(loss)}
    (trained / "manifest.json").write_text(json.dumps(manifest))
    (results / "answers" / "shard.jsonl").write_text(answer)
    (root / "work" / "unfinished").write_text(finished)
    return root


@pytest.fixture
def first(tmp_path):
    return write_root(tmp_path / "first")


def test_wall_times_are_set_aside_with_their_reason(tmp_path, first):
    second = write_root(tmp_path / "second", seconds=9.0, finished="2027-01-01T00:00:00")
    comparison = compare_roots(first, second)
    assert comparison.unexplained == [] and comparison.equal == 2
    assert all("without a reason" in line or "reason (" in line or "byte" in line for line in report(comparison))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"answer": "blue"}, ["results/answers/shard.jsonl"]),
        ({"loss": 0.6}, ["log.csv", "manifest.json", "trainer_state.json"]),
    ],
)
def test_other_content_is_found_inside_the_exceptions_too(tmp_path, first, change, names):
    second = write_root(tmp_path / "second", seconds=9.0, **change)
    found = [difference.name for difference in compare_roots(first, second).unexplained]
    assert len(found) == len(names) and all(name.endswith(end) for name, end in zip(sorted(found), names, strict=True))


def test_a_folder_without_artefacts_is_equal_to_nothing(tmp_path, first):
    for pair in ((tmp_path / "nowhere", first), (first, tmp_path)):
        with pytest.raises(UserError, match="holds no artefacts"):
            compare_roots(*pair)


def test_missing_file_is_a_difference(tmp_path, first):
    second = write_root(tmp_path / "second")
    (second / "results/answers/shard.jsonl").unlink()
    assert [entry.name for entry in compare_roots(first, second).unexplained] == [
        "results/answers/shard.jsonl (only in one)"
    ]
