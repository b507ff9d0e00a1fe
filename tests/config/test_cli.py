"""The command line: one line and exit code 2 for a user's mistake."""

from __future__ import annotations

import sys

import pytest
import yaml

from dynfocus.cli import main
from dynfocus.config.load import load_config
from dynfocus.machine.locks import only_one
from dynfocus.steps.layout import Layout


@pytest.fixture
def dynfocus(repository, monkeypatch, capsys):
    """Run the command line in the repository; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(repository)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dynfocus", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["resolve-config", "--set", "grid=8"],
            "command line: grid: unknown key; the nearest valid key is network.grid",
        ),
        (["resolve-config", "--config", "config/min.yaml"], "no such configuration file"),
        (["train-instruction", "--run", "dynfocis"], "the nearest one is dynfocus"),
        (["train-alignment"], "either --run"),
        (["train-alignment", "--run", "dynfocus", "--seed", "77"], "add it: --set seeds='["),
        (["train-instruction", "--run", "dynfocus", "--seed", "77"], "add it: --set seeds='["),
        (
            ["extract-features", "--dataset", "msvd_qa", "--shard", "5", "--num-shards", "2"],
            "of 2 shards the last is 1",
        ),
        (["serve-chat", "--run", "dynfocis"], "the nearest one is dynfocus"),
        (["serve-chat", "--beside", "dynfocis"], "the nearest one is dynfocus"),
        (["serve-chat", "--beside", "dynfocus"], "the same model twice"),
        (["why", "--artefact", "nosuchthing"], "part of no artefact's name"),
        (["compare", "docs", "results"], "docs: holds no artefacts"),
        (["train-alignment", "--key", "0" * 12], "no run of config/experiments.yaml has the stage-1 key"),
        (["execute-notebook", "--item", "table_77"], "no report item is named table_77"),
        (
            ["prepare-clip", "--set", "hardware.device=cuda", "--set", "hardware.gpus=1", "--set", "root=runs/new"],
            "this machine offers 0",
        ),
        (["prepare-data", "--dataset", "msvd"], "the nearest one is msvd_qa"),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(dynfocus, arguments, words):
    code, out, err = dynfocus(*arguments)
    assert code == 2
    assert words in err
    assert err.startswith("dynfocus: ") and err.count("\n") == 1 and not out


def test_answering_without_a_checkpoint_says_what_is_missing(dynfocus, tmp_path):
    code, _, err = dynfocus("answer-questions", "--run", "dynfocus", "--set", f"root={tmp_path}")
    assert code == 2
    assert "no finished artefact" in err and "checkpoints/instruction/dynfocus/seed-0" in err


def test_what_the_jobs_of_a_run_read_is_not_overwritten(dynfocus, tmp_path):
    at_root = ("--set", f"root={tmp_path}")
    with only_one(Layout(tmp_path).run_lock, "a run"):
        code, _, err = dynfocus("resolve-config", *at_root, "--set", "seeds=[1]")
    assert code == 2 and "still running as process" in err and not (tmp_path / "work/config.yaml").exists()
    assert dynfocus("resolve-config", *at_root)[0] == 0


def test_resolved_configuration_means_the_same_as_the_profile(dynfocus, tmp_path, monkeypatch, repository):
    code, _, err = dynfocus("resolve-config", "--set", f"root={tmp_path}", "--set", "seeds=[1, 2]")
    assert code == 0, err
    resolved = load_config([tmp_path / "work" / "config.yaml"])
    expected = load_config([repository / "config/mini.yaml"], [f"root={tmp_path}", "seeds=[1, 2]"])
    assert resolved.model_copy(update={"experiments": expected.experiments}) == expected
    assert resolved.experiments == str(tmp_path / "work" / "experiments.yaml")
    stored = yaml.safe_load((tmp_path / "work" / "experiments.yaml").read_text())
    assert stored["runs"]["llama_vid"]["network"] == {"encoder": "llama_vid"}
