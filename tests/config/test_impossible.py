"""Settings that cannot work: `dynfocus resolve-config` refuses each with one line, which says where and what to do."""

from __future__ import annotations

import sys

import pytest

from dynfocus.cli import main
from dynfocus.config.experiments import load_experiments
from dynfocus.config.load import load_config
from dynfocus.errors import UserError

PROFILE = "own.yaml"
RUNS = "runs.yaml"

# The settings of a profile that extends config/mini.yaml; the key that the line names; what it says to do.
SETTINGS = [
    # Written wrong
    ("alignment: {epochs: 1}\nalignment: {epochs: 2}", "line 3", "key `alignment` given twice"),
    ("alignment: {epochs: 1, epochs: 2}", "line 2", "key `epochs` given twice"),
    ("alignmnt: {epochs: 1}", "alignmnt", "the nearest valid key is alignment"),
    ("network: {zzz: 1}", "network.zzz", "the nearest valid key is network."),
    ("network: {clustering: dpc-knn}", "network.clustering", "the nearest one is dpc_knn"),
    ("network: {clustering: QQQ}", "network.clustering", "of dpc_knn, kmeans, weighted_kmeans"),
    ("network:", "network", "must hold keys and values"),
    ("alignment: &a {epochs: 1}\ninstruction: *a", "line 3", "write it out"),
    ("seeds: !!set {1}", "line 2", "leave it out"),
    ("yes: 1", "line 2", "a key must be a text"),
    # Empty, repeated, unknown
    ("root: ''", "root", "is empty; give a text"),
    ("root: '   '", "root", "is empty; give a text"),
    ("items: []", "items", "is empty; give at least one"),
    ("runs: []", "runs", "is empty; give at least one"),
    ("benchmarks: []", "benchmarks", "is empty; give at least one"),
    ("seeds: []", "seeds", "is empty; give at least one"),
    ("claim_seeds: []", "claim_seeds", "is empty; give at least one"),
    ("alignment: {datasets: []}", "alignment.datasets", "is empty; give at least one"),
    ("instruction: {trainable: []}", "instruction.trainable", "is empty; give at least one"),
    ("alignment: {datasets: [webvid_cap, webvid_cap]}", "alignment.datasets", "webvid_cap is listed twice; remove"),
    ("instruction: {trainable: [llm, llm]}", "instruction.trainable", "llm is listed twice"),
    ("items: [table_7, table_7]", "items", "table_7 is listed twice"),
    ("runs: [dynfocus, dynfocus]", "runs", "dynfocus is listed twice"),
    ("benchmarks: [mlvu, mlvu]", "benchmarks", "mlvu is listed twice"),
    ("items: [tabel_7]", "items", "the nearest one is table_7"),
    ("runs: [dynfocos]", "runs", "the nearest one is dynfocus"),
    ("benchmarks: [msvd]", "benchmarks.0", "the nearest one is msvd_qa"),
    ("alignment: {datasets: [webvid]}", "alignment.datasets.0", "the nearest one is webvid_"),
    ("items: [table_5]\nruns: [blind]", "runs", "nothing to make; choose from kmeans"),
    ("items: [rod_cone]\nbenchmarks: [lvbench]", "benchmarks", "nothing to make; choose from"),
    # Seeds and numbers
    ("seeds: [-1]", "seeds.0", "greater than or equal to 0"),
    ("seeds: [1, 1]", "seeds", "1 is listed twice"),
    ("seeds: [true]", "seeds", "must not be true or false"),
    ("seeds: [1.5]", "seeds.0", "valid integer"),
    ("seeds: [4294967296]", "seeds.0", "less than or equal to 4294967295"),
    ("claim_seeds: [0, 0, 1]", "claim_seeds", "0 is listed twice"),
    ("world: {seed: -3}", "world.seed", "greater than or equal to 0"),
    ("world: {seed: true}", "world.seed", "must not be true or false"),
    ("alignment: {learning_rate: .inf}", "alignment.learning_rate", "finite number"),
    ("alignment: {learning_rate: .nan}", "alignment.learning_rate", "finite number"),
    ("alignment: {epochs: 1e999}", "alignment.epochs", "finite number"),
    ("evaluation: {judge: {timeout: .inf}}", "evaluation.judge.timeout", "finite number"),
    ("network: {selection_ratio: true}", "network.selection_ratio", "must not be true or false"),
    ("video: {min_readable: on}", "video.min_readable", "must not be true or false"),
    ("network: {rod_tokens: false}", "network.rod_tokens", "must not be true or false"),
    ("alignment: {zero_stage: true}", "alignment.zero_stage", "must not be true or false"),
    ("network: {group_gate: 1}", "network.group_gate", "must be true or false"),
    ("network: {selection_ratio: 0}", "network.selection_ratio", "greater than 0"),
    ("network: {selection_ratio: 80}", "network.selection_ratio", "less than or equal to 1"),
    ("network: {event_prototypes: 0}", "network.event_prototypes", "greater than or equal to 1"),
    ("network: {event_prototypes: 10000000000}", "network.event_prototypes", "less than or equal to"),
    ("profile: 2024-01-01", "profile", "valid string"),
    ("profile: no", "profile", "must not be true or false"),
    # At odds with each other
    ("network: {pooled_grid: 3}", "network.pooled_grid", "does not divide grid 8"),
    ("network: {grid: 16}", "network.grid", "set grid to 8"),
    ("network: {grid: 1000000000}", "network.grid", "set grid to 8"),
    ("video: {image_size: 224}", "video.image_size", "set image_size to 128"),
    ("backbones: {clip: {layer: -9}}", "backbones.clip.layer", "choose -3 to -1"),
    ("backbones: {clip: {model: none.json}}", "backbones.clip.model", "name one, such as"),
    ("backbones: {clip: {model: ViT-B-32}}", "backbones.clip.model", "config/backbones/clip-mini.json"),
    ("backbones: {llm: {name: lmsys/vicuna-7b-v1.5}}", "backbones.llm.name", "config/backbones/llm-mini.json"),
    ("backbones: {clip: {source: open_clip, model: ViT-L-14}}", "backbones.clip.model", "set image_size to 224"),
    ("backbones: {clip: {source: open_clip, model: vit-l14}}", "backbones.clip.model", "the nearest one is ViT-L-14"),
    ("network: {fine_prototypes: 65}", "network.fine_prototypes", "choose at most 64"),
    ("network: {fine_prototypes: 0}", "network.fine_prototypes", "greater than or equal to 1"),
    ("network: {coarse_prototypes: 17}", "network.coarse_prototypes", "choose at most 16"),
    ("network: {fine_prototypes: 4}", "network.fine_prototypes", "choose at most 4"),
    ("network: {cone_tokens: dropped, rod_tokens: 0}", "network.cone_tokens", "encoder: blind"),
    ("alignment: {global_batch: 10, micro_batch: 4}", "alignment.global_batch", "nearest valid: global_batch 8 or 12"),
    ("instruction: {micro_batch: 3}", "instruction.micro_batch", "micro_batch 2"),
    ("hardware: {processes: 3}", "hardware.processes", "or 1 processes"),
    ("hardware: {device: cuda}", "hardware", "must be equal"),
    ("video: {max_frames: 10, capped_frames: 20}", "video", "capped_frames must not exceed max_frames"),
    ("evaluation: {judge: {budget: 5}}", "evaluation.judge", "needs price_in and price_out"),
    ("evaluation: {judge: {base_url: localhost}}", "evaluation.judge.base_url", "https?://"),
    # Names that a shell, a terminal or a path reads otherwise
    ("root: -rf", "root", "not begin with -"),
    ("root: /", "root", "root of the file system"),
    ("root: //..", "root", "root of the file system"),
    ("profile: 'a b'", "profile", "letters, digits"),
    ("root: 'a  b'", "root", "single blanks"),
    ("root: ' a'", "root", "single blanks"),
    ('root: "a\'b"', "root", "letters, digits"),
    ("root: 'a[b]'", "root", "letters, digits"),
    ("root: '{set}'", "root", "letters, digits"),
    ("root: $HOME", "root", "letters, digits"),
    ("root: ~/runs", "root", "letters, digits"),
    ('root: "a\\nb"', "root", "without control characters"),
    ('profile: "\\e[31m"', "profile", "without control characters"),
    ("profile: '[red]'", "profile", "letters, digits"),
    ('root: "a\\ud800"', PROFILE, "half of a surrogate pair"),
    ('"ro\\not": x', "ro\\not", "unknown key"),
]

# Runs and items of an experiments file; the place that the line names; what it says to do.
EXPERIMENTS = [
    ("runs: {a: {title: A}, a: {title: B}}\nitems: {}", "line 1", "key `a` given twice"),
    ("runs: {}\nitems: {t: {title: T, notebook: t.ipynb, runs: [a]}}", "items.t.runs", "no run is named a"),
    ("runs: {'a b': {title: A}}\nitems: {}", "runs.a b", "lower-case letters"),
    ("runs: {-a: {title: A}}\nitems: {}", "runs.-a", "lower-case letters"),
    ('runs: {"a\\n": {title: A}}\nitems: {}', "runs.a\\n", "lower-case letters"),
    ("runs: {'[red]': {title: A}}\nitems: {}", "runs.[red]", "lower-case letters"),
    ("runs: {a: {title: ''}}\nitems: {}", "runs.a.title", "is empty; give a text"),
    ('runs: {a: {title: "A\\nB"}}\nitems: {}', "runs.a.title", "without control characters"),
    ("runs: {a: {title: A, netwrk: {}}}\nitems: {}", "runs.a.netwrk", "the nearest valid key is runs.a.network"),
    ("runs: {a: {title: A, network: {gird: 8}}}\nitems: {}", "network.gird", "nearest valid key is network.grid"),
    ("runs: {a: {title: A, network: {pooled_grid: 3}}}\nitems: {}", "runs.a: network.pooled_grid", "divide grid 8"),
    ("runs: {a: {title: A, network: {coarse_prototypes: 17}}}\nitems: {}", "runs.a: network.coarse", "at most 16"),
    ("runs: {a: {title: A, instruction: {micro_batch: 5}}}\nitems: {}", "runs.a: instruction.micro", "nearest valid"),
    ("runs: {a: {title: A, weights: b}}\nitems: {}", "runs.a.weights", "no run is named b"),
    ("runs: {}\nitems: {t: {title: T, notebook: ../t.ipynb}}", "items.t.notebook", "should match pattern"),
    ("runs: {}\nitems: {t: {title: T, notebook: '-t.ipynb'}}", "items.t.notebook", "should match pattern"),
    ("runs: {}\nitems: {t: {title: T, notebook: t.ipynb, seeds: [1, 1]}}", "items.t.seeds", "1 is listed twice"),
    ("runs: {}\nitems: {t: {title: T, notebook: t.ipynb, seeds: [-1]}}", "items.t.seeds.0", "equal to 0"),
    ("runs: {}\nitems: {t: {title: T, notebook: t.ipynb, benchmarks: [mlvv]}}", "benchmarks.0", "nearest one is mlvu"),
    (
        "runs: {a: {title: A}}\nitems: {t: {title: T, notebook: t.ipynb, runs: [a, a]}}",
        "items.t.runs",
        "listed twice",
    ),
]


@pytest.fixture
def refusal(repository, tmp_path, monkeypatch, capsys):
    """The one line that `dynfocus resolve-config` ends with for a profile and an experiments file."""

    def line(settings: str, experiments: str | None = None) -> str:
        monkeypatch.chdir(repository)
        text = f"extends: {repository}/config/mini.yaml\n{settings}\n"
        overrides = [] if "root:" in settings else ["--set", f"root={tmp_path}"]
        if experiments is not None:
            (tmp_path / RUNS).write_text(experiments, encoding="utf-8")
            overrides += ["--set", f"experiments={tmp_path / RUNS}"]
        (tmp_path / PROFILE).write_text(text, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["dynfocus", "resolve-config", "-c", str(tmp_path / PROFILE), *overrides])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code == 2 and not out
        assert err.startswith("dynfocus: ") and err.count("\n") == 1 and err.rstrip("\n").isprintable()
        return err

    return line


@pytest.mark.parametrize(("settings", "place", "advice"), SETTINGS, ids=[row[0][:40] for row in SETTINGS])
def test_an_impossible_setting_is_refused_with_its_line(refusal, settings, place, advice):
    said = refusal(settings)
    assert place in said and advice in said
    assert PROFILE in said or place in ("items", "runs", "benchmarks")


@pytest.mark.parametrize(("text", "place", "advice"), EXPERIMENTS, ids=[row[0][:60] for row in EXPERIMENTS])
def test_an_impossible_run_or_item_is_refused_with_its_line(refusal, text, place, advice):
    said = refusal("", text)
    assert RUNS in said and place in said and advice in said


def test_a_conflict_names_the_file_that_sets_one_of_its_keys(repository, tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text(f"extends: {repository}/config/paper.yaml\nhardware: {{gpus: 6, processes: 6}}\n")
    top = tmp_path / "top.yaml"
    top.write_text("extends: base.yaml\nprofile: top\n")
    with pytest.raises(UserError, match=r"base\.yaml: hardware\.processes: global_batch 256 .* \(and 1 more\)"):
        load_config([top])
    with pytest.raises(UserError, match=r"command line: network\.pooled_grid: pooled_grid 5 does not divide grid 16"):
        load_config([repository / "config/paper.yaml"], ["network.pooled_grid=5"])


@pytest.mark.parametrize("profile", ["paper", "mini", "small", "smoke"])
def test_every_shipped_profile_and_run_is_possible(repository, monkeypatch, profile):
    monkeypatch.chdir(repository)
    config = load_config([repository / f"config/{profile}.yaml"])
    assert load_experiments(repository / config.experiments, config).runs


@pytest.mark.parametrize(
    "text", ["", "a.b", "=1", ".=1", "a..b=1", "seeds=[", "seeds=*a", "network={grid: 8, grid: 16}", "profile=!!int 1"]
)
def test_a_malformed_override_is_one_line(repository, text):
    with pytest.raises(UserError, match=r"command line: .*; |must have the form"):
        load_config([repository / "config/mini.yaml"], [text])
