"""Both stages on the toy world in this process: what learns, what is written, resuming, and the split of a batch."""

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from dynfocus.errors import UserError
from dynfocus.training.artefact import LOG_COLUMNS
from dynfocus.training.callbacks import CompleteMarker, LiveLine
from dynfocus.training.interruption import SIGNAL
from dynfocus.training.stage import train_stage, vary_noise

SAME_CURVE = 1e-5


def train(world, out, stage="instruction", init=None, seed=0, run="toy", **changes):
    """Train one toy stage and return its log."""
    import toy_network

    config = toy_network.toy_config(world, **changes)
    init = world / "backbones" if init is None else init
    work = out.parent / f"work-{out.name}"
    train_stage(config, run, stage, seed, world / "data", world / "features", init, out, work)
    return read_log(out)


def read_log(out):
    with (out / "log.csv").open() as stream:
        return [{name: float(value or 0) for name, value in row.items()} for row in csv.DictReader(stream)]


def losses(log):
    return [row["loss"] for row in log]


@pytest.fixture
def quiet(toys, monkeypatch):
    """The toy network without its noise, which differs between splits of a batch."""
    monkeypatch.setattr(toys.ToyNetwork, "noise", 0.0)


def test_stage_1_learns_the_connector_alone_and_stage_2_everything(toys, world, tmp_path):
    train(world, tmp_path / "one", "alignment")
    torch.manual_seed(0)
    start = toys.build_model(None, None)[0].state_dict()
    one = load_file(tmp_path / "one/model.safetensors")
    train(world, tmp_path / "two", init=tmp_path / "one")
    two = load_file(tmp_path / "two/model.safetensors")
    assert {name for name in one if torch.equal(one[name], start[name])} == {n for n in one if not is_connector(n)}
    assert not any(torch.equal(one[name], two[name]) for name in one if "norm" not in name)


def is_connector(name):
    return name.startswith(("projector", "selector"))


def test_the_finished_folder_holds_model_log_and_state_and_work_is_gone(toys, world, tmp_path):
    log = train(world, tmp_path / "out")
    assert losses(log)[-1] < losses(log)[0] - 0.5
    assert [row["samples"] for row in log] == [4.0 * step for step in range(1, 13)]
    assert all(row["tokens_per_second"] > 0 and row["seconds"] > 0 for row in log)
    assert log[1]["tokens"] > log[0]["tokens"] and log[0]["peak_memory_gib"] > 0
    state = json.loads((tmp_path / "out/trainer_state.json").read_text())
    assert state["global_step"] == 12
    assert json.loads((tmp_path / "out/coverage.json").read_text()) == {"webvid_qa": {"readable": 24, "total": 24}}
    assert list((tmp_path / "out/tensorboard").iterdir())
    assert not (tmp_path / "work-out").exists() and not (tmp_path / "out/training_args.bin").exists()


def test_tensorboard_and_csv_hold_loss_throughput_tokens_and_memory(toys, world, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = train(world, tmp_path / "out")
    assert {"loss", "tokens", "tokens_per_second", "peak_memory_gib"} <= set(LOG_COLUMNS) == set(log[0])
    events = EventAccumulator(str(tmp_path / "out/tensorboard"))
    events.Reload()
    for name in ("loss", "tokens", "tokens_per_second", "peak_memory_gib", "learning_rate", "grad_norm"):
        scalars = events.Scalars(f"train/{name}")
        assert [event.step for event in scalars] == [row["step"] for row in log]
        assert [event.value for event in scalars] == pytest.approx([row[name] for row in log], rel=1e-6)


def test_processes_draw_noise_apart_and_one_process_as_its_seed_says():
    def draws(rank):
        torch.manual_seed(3)
        vary_noise(3, rank)
        return torch.randn(4)

    torch.manual_seed(3)
    alone = torch.randn(4)
    assert draws(0).equal(alone)
    assert not draws(1).equal(draws(0)) and not draws(1).equal(draws(2)) and draws(1).equal(draws(1))


def test_bf16_trains_like_fp32_to_its_precision(quiet, world, tmp_path):
    exact, rounded = (train(world, tmp_path / name, precision=name) for name in ("fp32", "bf16"))
    assert losses(rounded) == pytest.approx(losses(exact), rel=0.05)
    assert load_file(tmp_path / "bf16/model.safetensors")["projector.weight"].dtype == torch.bfloat16


def test_the_learning_rate_warms_up_and_falls_as_a_cosine(toys, world, tmp_path):
    rates = [row["learning_rate"] for row in train(world, tmp_path / "out", warmup_ratio=0.25)]
    assert rates[:4] == pytest.approx([0, 1e-2 / 3, 2e-2 / 3, 1e-2])
    assert rates[3:] == sorted(rates[3:], reverse=True) and rates[-1] < 5e-4


def test_micro_batches_of_four_or_four_accumulated_ones_train_alike(quiet, world, tmp_path):
    whole = train(world, tmp_path / "whole", micro_batch=4)
    parts = train(world, tmp_path / "parts", micro_batch=1)
    assert losses(whole) == pytest.approx(losses(parts), abs=SAME_CURVE)
    assert [row["tokens"] for row in whole] == [row["tokens"] for row in parts]


def test_gradient_checkpointing_changes_nothing(quiet, world, tmp_path):
    plain = train(world, tmp_path / "plain", epochs=1)
    recomputed = train(world, tmp_path / "recomputed", epochs=1, gradient_checkpointing=True)
    assert losses(plain) == pytest.approx(losses(recomputed), abs=SAME_CURVE)


def test_the_seed_decides_the_run(toys, world, tmp_path):
    one, again, other = (train(world, tmp_path / f"{index}", seed=seed) for index, seed in enumerate([1, 1, 2]))
    assert losses(one) == losses(again) != losses(other)


class Interruption(Exception):
    """Stands for a kill: nothing after it runs."""


def interrupt(monkeypatch, owner, method, step):
    original = getattr(owner, method)

    def stop(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise Interruption
        original(self, args, state, control, **kwargs)

    monkeypatch.setattr(owner, method, stop)


@pytest.mark.parametrize(
    "owner, method, resumed_from", [(LiveLine, "on_log", 4), (CompleteMarker, "on_save", 4)], ids=["step", "saving"]
)
def test_an_interrupted_run_goes_on_to_the_same_losses_and_weights(
    toys, world, tmp_path, monkeypatch, capsys, owner, method, resumed_from
):
    whole = train(world, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        interrupt(patch, owner, method, step=6)
        train(world, tmp_path / "cut")
    assert (tmp_path / "work-cut/checkpoint-4").exists() and not (tmp_path / "cut").exists()
    capsys.readouterr()
    cut = train(world, tmp_path / "cut")
    assert f"resuming from checkpoint-{resumed_from}" in capsys.readouterr().err
    timeless = ("step", "loss", "learning_rate", "grad_norm", "samples", "tokens")
    assert [[row[name] for name in timeless] for row in cut] == [[row[name] for name in timeless] for row in whole]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_that_cannot_be_written_stops_at_step_1(toys, world, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(toys.ToyNetwork, "save_pretrained", refuse)
    with pytest.raises(OSError, match="no space left"):
        train(world, tmp_path / "out", save_steps=10)
    assert not (tmp_path / "work-out/checkpoint-10").exists() and (tmp_path / "work-out/checkpoint-1").exists()


def test_the_warning_of_a_time_limit_saves_stops_and_the_next_start_goes_on(toys, world, tmp_path, monkeypatch, capsys):
    whole = train(world, tmp_path / "whole", save_steps=100)
    original = LiveLine.on_log

    def warn(self, args, state, control, **kwargs):
        if state.global_step == 5:
            os.kill(os.getpid(), SIGNAL)
        original(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(UserError, match="time ends; saved at step 6 of 12"):
        patch.setattr(LiveLine, "on_log", warn)
        train(world, tmp_path / "cut", save_steps=100)
    assert not (tmp_path / "cut").exists()
    capsys.readouterr()
    cut = train(world, tmp_path / "cut", save_steps=100)
    assert "resuming from checkpoint-6" in capsys.readouterr().err
    assert losses(cut) == losses(whole)


def test_other_programs_ignore_the_warning():
    """Shell, pipe and Snakemake's Python around a training must outlive the signal that is sent to all of them."""
    script = (
        f"kill -{SIGNAL.value} $$; {sys.executable} -c 'import os; os.kill(os.getpid(), {SIGNAL.value})' && echo on"
    )
    assert subprocess.run(["bash", "-c", f"({script}) | tee /dev/null"], capture_output=True).stdout == b"on\n"


def test_rolling_checkpoints_of_other_settings_are_not_resumed(toys, world, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        interrupt(patch, LiveLine, "on_log", step=4)
        train(world, tmp_path / "out")
    log = train(world, tmp_path / "out", learning_rate=5e-3)
    assert "belonged to other settings or data; starting at step 0" in capsys.readouterr().err
    assert len(log) == 12


def test_training_refuses_when_too_many_films_have_no_features(toys, tmp_path):
    toys.write_world(tmp_path, films=24, missing=2)
    with pytest.raises(UserError, match="training set `webvid_qa`: 22 of 24 samples have features"):
        train(tmp_path, tmp_path / "out")
    train(tmp_path, tmp_path / "out", min_coverage=0.9, epochs=1)
    assert json.loads((tmp_path / "out/coverage.json").read_text())["webvid_qa"] == {"readable": 22, "total": 24}


def test_a_training_without_labels_is_refused_and_a_few_samples_without_are_named(toys, tmp_path, capsys):
    """Cut before the first answer, every sample would teach nothing, and the loss be 0."""
    toys.write_world(tmp_path)
    rows = json.loads((tmp_path / "data/webvid_qa/train.json").read_text())
    rows[3]["QA"][0]["q"] = "what colour is the ball " * 40
    (tmp_path / "data/webvid_qa/train.json").write_text(json.dumps(rows))
    with pytest.raises(UserError, match="24 of 24 samples have no label within max_text_tokens 20"):
        train(tmp_path, tmp_path / "out", max_text_tokens=20)
    with pytest.raises(UserError, match="1 of 24 samples have no label within max_text_tokens 300"):
        train(tmp_path, tmp_path / "out", max_text_tokens=300)
    log = train(tmp_path, tmp_path / "out", max_text_tokens=300, min_coverage=0.9, epochs=1)
    assert "webvid_qa 1 of 24 samples left out, their answers are cut off: p/003.mp4_3" in capsys.readouterr().err
    assert all(loss > 0 for loss in losses(log))
    coverage = json.loads((tmp_path / "out/coverage.json").read_text())["webvid_qa"]
    assert coverage == {"readable": 24, "total": 24, "unlabelled": ["p/003.mp4_3"]}
    train(tmp_path, tmp_path / "held", max_text_tokens=300, min_coverage=0.9, epochs=1, held_out=20)
    assert "1 of 20 samples held out have no label; left out" in capsys.readouterr().err


def test_a_set_without_samples_is_refused(toys, tmp_path):
    toys.write_world(tmp_path)
    (tmp_path / "data/webvid_qa/train.json").write_text("[]")
    with pytest.raises(UserError, match=r"training set `webvid_qa`: .*data/webvid_qa holds no sample"):
        train(tmp_path, tmp_path / "out")


def test_fewer_processes_than_configured_are_refused(toys, world, tmp_path):
    with pytest.raises(UserError, match=r"started with 1 process\(es\), but hardware.processes is 2"):
        train(world, tmp_path / "out", processes=2)


def test_a_checkpoint_that_lacks_weights_of_the_network_is_refused(toys, world, tmp_path):
    train(world, tmp_path / "one", "alignment", epochs=1)
    weights = load_file(tmp_path / "one/model.safetensors")
    del weights["projector.weight"]
    save_file(weights, tmp_path / "one/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"does not fit .* 1 weights differ, first projector.weight"):
        train(world, tmp_path / "two", init=tmp_path / "one")


def test_a_loss_that_is_not_a_number_ends_the_run(toys, world, tmp_path):
    with pytest.raises(UserError, match="the loss is nan at step"):
        train(world, tmp_path / "out", learning_rate=1e30)


def test_an_old_result_is_replaced_as_a_whole(toys, world, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "left_over.txt").touch()
    train(world, out, epochs=1)
    assert not (out / "left_over.txt").exists() and (out / "model.safetensors").exists()
    shutil.rmtree(out)
