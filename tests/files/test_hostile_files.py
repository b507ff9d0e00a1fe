"""Every reader of settings, records, artefacts and markers under hostile files: one line or all of it, no traceback.

A file is random bytes, a good file with bytes changed, or a good file with a value, a key or a branch changed. Two
hundred of them go to each reader here; `pytest -m slow tests/files` sends ten thousand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pandas
import pytest
import yaml

from dynfocus.artefacts.store import objects_of, tracked_bytes
from dynfocus.config.checks import _faults_of_shape, vision_of
from dynfocus.config.experiments import load_experiments
from dynfocus.config.load import load_config
from dynfocus.config.schema import ClipBackbone
from dynfocus.datasets import load_records
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.base import model_type
from dynfocus.evaluation.evidence import COLUMNS, read_evidence
from dynfocus.evaluation.lines import AppendOnly, read_lines
from dynfocus.evaluation.subtitles import captions
from dynfocus.files import read_csv, read_json, read_jsonl, read_model, read_yaml
from dynfocus.ledger import http
from dynfocus.ledger.coverage import require
from dynfocus.ledger.entries import load_ledger
from dynfocus.ledger.pins import LOCK, SOURCE, read_lock, read_parts
from dynfocus.machine.locks import acquire
from dynfocus.reporting.costs import read_costs
from dynfocus.reporting.report import SavedItem
from dynfocus.reporting.results import read_records
from dynfocus.steps.index import NAME as INDEX
from dynfocus.steps.index import find_index
from dynfocus.training.checkpoints import claim, is_complete

STAGE = {
    "datasets": ["webvid_cap"],
    "trainable": ["projectors"],
    "global_batch": 8,
    "micro_batch": 8,
    "learning_rate": 0.001,
    "zero_stage": 0,
}
PROFILE = {
    "profile": "own",
    "root": "runs/own",
    "seeds": [0, 1],
    "items": ["table_7"],
    "benchmarks": ["all"],
    "video": {"fps": 0.5, "max_frames": 100, "capped_frames": 20},
    "network": {"encoder": "dynfocus", "pooled_grid": 4, "selection_ratio": 0.8, "group_gate": False},
    "alignment": STAGE,
    "instruction": STAGE | {"epochs": 2.5},
    "hardware": {"device": "cpu", "gpus": 0, "processes": 1},
    "evaluation": {"judge": {"kind": "rule", "budget": 0}},
}
EXPERIMENTS = {
    "runs": {
        "dynfocus": {"title": "DynFocus"},
        "kmeans": {"title": "K-means", "network": {"clustering": "kmeans", "event_prototypes": "60 %"}},
        "ratio": {"title": "K/L", "weights": "dynfocus", "network": {"selection_ratio": 0.4}},
    },
    "items": {
        "table_7": {"title": "Table 7", "notebook": "table_7.ipynb", "runs": ["dynfocus"], "benchmarks": ["mlvu"]},
    },
}
PART = {
    "sources": [{"kind": "url", "urls": ["https://example.org/a.json"], "bytes": 3, "unpack": False}],
    "to": "a.json",
}
LEDGER = {
    "sets": {
        "mlvu": {
            "title": "MLVU",
            "status": "open",
            "home": "https://example.org",
            "licence": "CC [BY] 4.0",
            "samples": 5,
            "mini": "films",
            "parts": [PART, PART | {"sources": [{"kind": "hub", "repo": "a/b", "path": "*.json", "gigabytes": 0.5}]}],
        }
    }
}
FILE = {"url": "https://example.org/a", "bytes": 3, "sha256": "0" * 64, "check": "recorded", "commit": None}
SOURCES = {"set": "mlvu", "parts": [{"origin": "o", "to": "a", "files": [FILE], "members": 1, "unpacked_bytes": 2}]}
PINS = {"mlvu": {"https://example.org/a": {"bytes": 3, "sha256": "0" * 64, "commit": None}}}
CLIP = {"embed_dim": 8, "vision_cfg": {"image_size": 128, "patch_size": 16, "layers": 3}, "text_cfg": {}}
CLAIM = {"identity": "0" * 64, "layout": {"processes": 1, "zero_stage": 1}}
LAYOUT = {"processes": 1, "zero_stage": 1}
LLM = {"vocab_size": 600, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 4, "num_attention_heads": 4}
MANIFEST = {
    **dict.fromkeys(("artefact", "settings_hash"), "a"),
    **dict.fromkeys(("content", "sample"), "0" * 64),
    "settings": "abc",
    "code": "def",
    **{"inputs": {}, "also": {}, "apart": [], "seed": None, "bytes": 3},
}
ARTEFACTS = {
    "manifests": {"backbones/clip": MANIFEST, "data/mlvu": MANIFEST},
    "values": {"abc": {"world": {"seed": 0}}, "def": {"dynfocus.files": "123"}},
    "stored": {"backbones/clip": 3},
    "seconds": {"backbones/clip": 1.5},
}
OUT = {"path": "data/mlvu", "md5": "0" * 32, "size": 3, "hash": "md5"}
DVC = {"outs": [OUT, OUT | {"md5": "1" * 32 + ".dir", "nfiles": 2}]}
SERIES = {
    **dict.fromkeys(COLUMNS, "a"),
    "seed": 0,
    "values": [0.5, None, 1.0],
    "questions": "mlvu-0123",
}
ASKED = {"id": "q", "film": "f", "labels": ["duration=long"]}
REPORT = {"set": "mlvu", "media": 4, "readable_media": 4, "failures": {"cut off": 1}, "searched": ["a"]}
SUBTITLES = ["1", "00:00:01,000 --> 00:00:02,500", "Hello, [you] there", "", "2", "00:00:03.000 --> 00:00:04.000", "b"]
ANSWER = {"benchmark": "mlvu", "question_id": "1", "reply": "a", "status": "ok"}
SCORE = {"benchmark": "mlvu", "headline": "accuracy", "metrics": {"accuracy": {"value": 0.5}}}
TALK = {
    "id": "1",
    "image": "a.jpg",
    "conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "b"}],
}
ITEM = {"item": "table_7", "title": "T", "profile": "mini", "tables": [], "figures": [], "notes": ["n"]}


@dataclass(frozen=True)
class Reader:
    """A reader, the name of its file, a good content, and how a content becomes a file."""

    read: Callable[[Path], Any]
    name: str
    sample: Any
    dump: Callable[[Any], str | bytes] = json.dumps

    def bytes_of(self, content: Any) -> bytes:
        made = self.dump(content)
        return made if isinstance(made, bytes) else made.encode(errors="surrogatepass")


def lines_of(rows: Any) -> str:
    return "\n".join(json.dumps(row) for row in rows) if isinstance(rows, list) else json.dumps(rows)


def yaml_of(value: Any) -> str:
    """YAML without aliases, which a list that stands at two places would become."""
    return yaml.safe_dump(json.loads(json.dumps(value)))


def cells_of(rows: Any) -> str:
    return "\n".join(",".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows)


def tabs_of(rows: Any) -> str:
    return cells_of(rows).replace(",", "\t")


def text_of(lines: Any) -> str:
    return "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines)


def parquet_of(rows: Any) -> bytes:
    """A Parquet file, ValueError for what none can hold."""
    stream = BytesIO()
    try:
        pandas.DataFrame(rows).to_parquet(stream)
    except Exception as error:  # of pandas or pyarrow, which raise almost anything
        raise ValueError("no table") from error
    return stream.getvalue()


def evidence_of(file: Path) -> Any:
    asked = file.with_name("mlvu-0123.parquet")
    asked.write_bytes(parquet_of([ASKED]))
    return read_evidence(file.parent)


def questions_of(file: Path) -> Any:
    file.with_name("0-seed-0-x.parquet").write_bytes(parquet_of([SERIES]))
    return read_evidence(file.parent)


def shape_of(file: Path) -> None:
    for fault in _faults_of_shape("llm", file):
        raise UserError(fault)


def config_of(file: Path) -> Any:
    config = load_config([file])
    kept = file.with_name("resolved.yaml")
    kept.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    assert load_config([kept]) == config, "a resolved profile means the same"
    require_kept(read_yaml(file), config.model_dump())
    return config


def experiments_of(file: Path) -> Any:
    return load_experiments(file, GOOD)


GOOD = None
EXAMPLES = pytest.mark.parametrize(
    "examples", [200, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
NEVER_REFUSED = ("note of a download", "marker of a checkpoint", "lock")
"""What a kill may have left unfinished; then the work is done anew."""
READERS = {
    "json": Reader(lambda file: read_json(file), "a.json", CLIP),
    "jsonl": Reader(read_jsonl, "a.jsonl", [CLAIM, CLAIM, {"id": 1}], lines_of),
    "yaml": Reader(lambda file: read_yaml(file), "a.yaml", PROFILE, yaml_of),
    "csv": Reader(lambda file: read_csv(file, ["a"]), "a.csv", [["a", "b"], ["1", "2"], ["3", '"4"']], cells_of),
    "profile": Reader(config_of, "own.yaml", PROFILE, yaml_of),
    "experiments": Reader(experiments_of, "experiments.yaml", EXPERIMENTS, yaml_of),
    "ledger": Reader(load_ledger, "datasets.yaml", LEDGER, yaml_of),
    "record of a download": Reader(lambda file: read_parts(file.parent), SOURCE, SOURCES),
    "pins": Reader(lambda file: read_lock(file.with_name("datasets.yaml")), LOCK, PINS),
    "note of a download": Reader(lambda file: http._validator(file.with_name("x")), "x.json", {"validator": "tag"}),
    "shape of an encoder": Reader(lambda file: vision_of(ClipBackbone(model=str(file))), "clip.json", CLIP),
    "marker of a checkpoint": Reader(lambda file: is_complete(file.parent), "complete.json", {"a": "0" * 64}),
    "owner of a work folder": Reader(lambda file: claim(file.parent, {}, LAYOUT), "settings.json", CLAIM),
    "lock": Reader(lambda file: acquire(file, "a run").close(), "run.lock", 12345),
    "index of artefacts": Reader(lambda file: find_index(file.parent), INDEX, ARTEFACTS),
    "dvc file": Reader(
        lambda file: (tracked_bytes(file), list(objects_of([file], Path("none")))), "a.dvc", DVC, yaml_of
    ),
    "evidence": Reader(evidence_of, "0-seed-0-x.parquet", [SERIES], parquet_of),
    "questions of evidence": Reader(questions_of, "mlvu-0123.parquet", [ASKED], parquet_of),
    "answers": Reader(read_lines, "a.jsonl", [ANSWER, ANSWER], lines_of),
    "unfinished answers": Reader(lambda file: AppendOnly(file).close(), "b.jsonl", [ANSWER, ANSWER, {}], lines_of),
    "scores": Reader(read_records, "seed-0.json", [SCORE, SCORE]),
    "saved table": Reader(lambda file: read_model(SavedItem, file), "table_7.json", ITEM),
    "model type": Reader(lambda file: model_type(file.parent), "config.json", {"model_type": "dynfocus", "a": [1]}),
    "report on media": Reader(lambda file: require(file, 0.5), "coverage.json", REPORT),
    "subtitles": Reader(captions, "a.srt", SUBTITLES, text_of),
    "times of a rule": Reader(
        lambda file: read_costs(file.parent), "times/a.tsv", [["s", "max_rss"], [1.5, "-"]], tabs_of
    ),
    "shape of a language model": Reader(shape_of, "llm.json", LLM),
    "training set": Reader(lambda file: load_records("llava_cc3m", file.parent), "chat.json", [TALK, TALK | {"id": 2}]),
}

JUNK = [
    *(
        None,
        True,
        False,
        0,
        -1,
        2,
        10**9,
        10**30,
        0.5,
        1e308,
        float("inf"),
        float("nan"),
        "",
        "all",
        "1",
        "1e999",
        "nan",
    ),
    *(
        "-rf",
        "a b",
        "a\nb",
        "[/]",
        "\x1b[31m",
        "../..",
        "{set}",
        "$HOME",
        "\u2028",
        "é",
        "60 %",
        "0 %",
        "dynfocus",
        "x" * 300,
    ),
    *([], {}, [True], [1, 1], [""], [[[]]], {"a": {"a": 1}}, {"": 0}, {"title": "T"}),
]
PIECES = [
    b"\n",
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b"- ",
    b": ",
    b",",
    b"#",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"\xef\xbb\xbf",
    b"999",
    b"\r",
]


def paths_of(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every value in a tree."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from paths_of(below, (*path, key))


def changed(sample: Any, random: Random) -> Any:
    """A copy of a tree with a value replaced, or a key removed, renamed or given a second time."""
    copy = json.loads(json.dumps(sample))
    paths = [path for path in paths_of(copy) if path]
    if not paths:
        return random.choice(JUNK)
    *way, key = random.choice(paths)
    here = copy
    for step in way:
        here = here[step]
    match random.choice(["replace", "replace", "remove", "rename"]):
        case "replace":
            here[key] = random.choice(JUNK)
        case "remove":
            here.pop(key)
        case "rename":
            value = here.pop(key)
            if isinstance(here, dict):
                here[random.choice(["epochz", "Root", "a\nb", str(key)[:-1], str(key).upper()])] = value
    return copy


def content_of(reader: Reader, random: Random) -> bytes:
    """Bytes of a hostile file."""
    if random.random() < 0.1:
        return random.randbytes(random.randrange(40))
    sample = reader.sample
    for _ in range(random.randrange(3)):
        sample = changed(sample, random)
    try:
        content = bytearray(reader.bytes_of(sample))
    except (TypeError, ValueError):
        content = bytearray(reader.bytes_of(reader.sample))
    for _ in range(random.choice([0, 0, 1, 2])):
        place = random.randrange(len(content) + 1)
        piece = random.choice([*PIECES, random.randbytes(2), bytes(content[: random.randrange(40)])])
        content[place : place + random.choice([0, 0, 1, 8])] = piece
    return bytes(content[: random.randrange(len(content) + 1)] if random.random() < 0.1 else content)


def require_kept(given: Any, made: Any, path: str = "") -> None:
    """Every value of a profile must be in the configuration that it became, as the same number or text."""
    if isinstance(given, dict):
        for key, value in given.items():
            require_kept(value, made[key], f"{path}.{key}")
    elif isinstance(given, list):
        assert len(given) == len(made), path
        for number, (one, other) in enumerate(zip(given, made, strict=True)):
            require_kept(one, other, f"{path}.{number}")
    elif isinstance(given, str) and not isinstance(made, str):
        assert type(made)(given) == made or given.lower() in (
            "true",
            "false",
            "on",
            "off",
            "yes",
            "no",
            "t",
            "f",
            "y",
            "n",
        )
    else:
        assert type(given) is type(made) or isinstance(made, float), path
        assert given == made, path


@pytest.fixture(autouse=True)
def good_configuration(tmp_path, monkeypatch):
    """A folder of its own, with a good profile to read experiments against."""
    global GOOD
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/experiments.yaml").write_text(yaml_of(EXPERIMENTS))
    Path("good.yaml").write_text(yaml_of(PROFILE))
    GOOD = load_config([Path("good.yaml")])


@pytest.mark.parametrize("name", READERS)
def test_a_good_file_is_read(name, tmp_path):
    """Else a reader that refuses everything would pass below."""
    reader = READERS[name]
    file = tmp_path / reader.name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(reader.bytes_of(reader.sample))
    reader.read(file)


@EXAMPLES
@pytest.mark.parametrize("name", READERS)
def test_a_hostile_file_is_one_line_or_read_whole(name, examples, tmp_path):
    reader = READERS[name]
    file = tmp_path / "hostile" / reader.name
    outcomes = {"read": 0, "refused": 0}
    for seed in range(examples):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content_of(reader, Random(f"{name}/{seed}")))
        outcomes[outcome(lambda: reader.read(file), seed)] += 1
    print(f"{name}: {outcomes}")
    assert outcomes["read"] and (outcomes["refused"] or name in NEVER_REFUSED)


@EXAMPLES
def test_a_hostile_override_is_one_line_or_taken(examples):
    outcomes = {"read": 0, "refused": 0}
    good = [path for path in paths_of(PROFILE) if path and all(isinstance(key, str) for key in path)]
    for seed in range(examples):
        random = Random(seed)
        path = random.choice(good)
        key = random.choice([".".join(path), ".".join(path), ".", "", "a.b", "a\nb", " seeds"])
        own = reduce(lambda value, step: value[step], path, PROFILE)
        junk = random.choice(JUNK)
        noise = random.randbytes(6).decode("latin1")
        value = random.choice([json.dumps(own), json.dumps(junk), str(junk), noise])
        text = random.choice([f"{key}={value}", f"{key}={value}", key, value])
        outcomes[outcome(lambda text=text: load_config([Path("good.yaml")], [text]), seed)] += 1
    print(f"override: {outcomes}")
    assert outcomes["read"] and outcomes["refused"]


def outcome(read: Callable[[], Any], seed: int) -> str:
    """Whether something was read or refused in one printable line; anything else is the failure of `seed`."""
    try:
        read()
    except UserError as error:
        assert str(error) and str(error).isprintable(), f"seed {seed}"
        return "refused"
    except Exception as error:
        raise AssertionError(f"seed {seed}: no user error") from error
    return "read"
