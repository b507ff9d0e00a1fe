"""Profiles: overlays, overrides, and one clear line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.config.load import load_config, merge, overrides_of, parse_override
from dynfocus.errors import UserError
from dynfocus.tokens import selected_events

nested = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.booleans() | st.text("xyz", min_size=1), max_size=3),
    lambda children: st.dictionaries(st.sampled_from("abc"), children, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def profile(tmp_path, repository):
    """Write a profile that extends the paper's and return its path."""

    def write(text: str, name: str = "own.yaml", extends: Path = repository / "config" / "paper.yaml") -> Path:
        file = tmp_path / name
        file.write_text(f"extends: {extends}\n{text}", encoding="utf-8")
        return file

    return write


def message_of(files, overrides=()) -> str:
    with pytest.raises(UserError) as caught:
        load_config(files, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_shipped_profiles_are_valid(repository):
    for name in ("mini", "smoke", "paper"):
        assert load_config([repository / "config" / f"{name}.yaml"]).profile == name


def test_shipped_overlays_hold_only_differences(repository):
    def leaves(values, prefix=()):
        for key, value in values.items():
            yield from leaves(value, (*prefix, key)) if isinstance(value, dict) else [((*prefix, key), value)]

    def at(values, path):
        for key in path:
            values = values[key]
        return values

    for name in ("mini", "smoke"):
        values = yaml.safe_load((repository / "config" / f"{name}.yaml").read_text())
        base = load_config([repository / "config" / values.pop("extends")]).model_dump()
        same = [".".join(path) for path, value in leaves(values) if at(base, path) == value]
        assert not same, f"{name}.yaml repeats its base: {same}"


@pytest.mark.parametrize("name", ["mini", "small", "paper"])
def test_dynamic_selection_has_something_to_leave_out(repository, name):
    network = load_config([repository / "config" / f"{name}.yaml"]).network
    prototypes, kept = selected_events(network, frames=1000)
    assert 0 < kept < prototypes


def test_paper_profile_has_the_settings_of_table_11(paper_config):
    alignment, instruction = paper_config.alignment, paper_config.instruction
    assert (alignment.global_batch, instruction.global_batch) == (256, 32)
    assert (alignment.learning_rate, instruction.learning_rate) == (1e-3, 2e-5)
    assert (alignment.schedule, alignment.warmup_ratio, alignment.weight_decay, alignment.epochs) == (
        "cosine",
        0.03,
        0,
        1,
    )
    assert (alignment.trainable, instruction.trainable) == (["projectors"], ["projectors", "dpe_cce", "llm"])
    assert (alignment.zero_stage, paper_config.network.event_prototypes) == (1, 25)


def test_overlay_changes_only_what_it_names(profile, paper_config):
    config = load_config([profile("alignment:\n  epochs: 3\n")])
    assert config.alignment.epochs == 3
    changed = config.model_copy(update={"alignment": config.alignment.model_copy(update={"epochs": 1.0})})
    assert changed == paper_config


def test_later_files_and_overrides_win(profile):
    first = profile("alignment: {epochs: 3, save_steps: 7}\n", "first.yaml")
    second = profile("alignment: {epochs: 4}\n", "second.yaml", extends=first)
    assert load_config([second]).alignment.epochs == 4
    assert load_config([second]).alignment.save_steps == 7
    assert load_config([second], ["alignment.epochs=5"]).alignment.epochs == 5


def test_lists_are_replaced_not_merged(profile):
    assert load_config([profile("seeds: [4, 5]\n")]).seeds == [4, 5]


def test_number_in_scientific_notation_without_a_point_is_a_number(profile):
    assert load_config([profile("alignment: {learning_rate: 1e-4}\n")]).alignment.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("text", "path", "near"),
    [
        ("alignment: {learning_rte: 1}\n", "alignment.learning_rte", "alignment.learning_rate"),
        ("nework: {grid: 8}\n", "nework", "network"),
        ("group_by_length: 1\n", "group_by_length", "alignment.group_by_length"),
        ("backbones: {clip: {step: 8}}\n", "backbones.clip.step", "backbones.clip.steps"),
    ],
)
def test_unknown_key_names_file_path_and_nearest_key(profile, text, path, near):
    file = profile(text)
    message = message_of([file])
    assert file.name in message
    assert f"{path}: unknown key; the nearest valid key is {near}" in message


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("alignment: {learning_rate: fast}\n", "alignment.learning_rate", "'fast'"),
        ("seeds: 3\n", "seeds", "3"),
        ("network: {clustering: dbscan}\n", "network.clustering", "'dbscan'"),
        ("alignment: {datasets: [webvid]}\n", "alignment.datasets.0", "webvid; the nearest one is webvid_qa"),
        ("network: 5\n", "network", "5"),
        ("video: {max_frames: 10, capped_frames: 20}\n", "video", "capped_frames"),
    ],
)
def test_wrong_value_names_file_path_and_value(profile, text, path, value):
    message = message_of([profile(text)])
    assert f"own.yaml: {path}: " in message
    assert value in message


def test_mistake_in_the_base_names_the_base(profile):
    base = profile("alignment: {epochs: never}\n", "base.yaml")
    message = message_of([profile("seeds: [1]\n", "top.yaml", extends=base)])
    assert "base.yaml: alignment.epochs" in message


def test_numbers_that_arrive_as_text_are_numbers(repository):
    """`snakemake --config instruction='{zero_stage: 1}'` passes the text 1."""
    asked = ["instruction.zero_stage='1'", "instruction.micro_batch='2'", "network.rod_tokens='0'"]
    config = load_config([repository / "config" / "paper.yaml"], asked)
    assert (config.instruction.zero_stage, config.instruction.micro_batch, config.network.rod_tokens) == (1, 2, 0)
    with pytest.raises(UserError, match=r"zero_stage: input should be 0, 1 or 2, got 'x'"):
        load_config([repository / "config" / "paper.yaml"], ["instruction.zero_stage='x'"])


def test_mistake_in_an_override_names_the_command_line(repository):
    mini = repository / "config" / "mini.yaml"
    assert message_of([mini], ["alignment.epoch=2"]).startswith("command line: alignment.epoch: unknown key")
    assert "key.path=value" in message_of([mini], ["alignment.epochs"])


def test_several_mistakes_are_counted(profile):
    assert "(and 1 more)" in message_of([profile("seed: 3\nnetwok: 3\n")])


def test_missing_key_is_named(tmp_path):
    file = tmp_path / "bare.yaml"
    file.write_text("profile: bare\n")
    assert "root: missing" in message_of([file])


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [", "not valid YAML"), ("- 1\n- 2\n", "must hold keys and values"), ("extends: [a]\n", "extends")],
)
def test_unreadable_file_is_one_line(tmp_path, text, words):
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    message = message_of([file])
    assert "broken.yaml" in message and words in message


def test_missing_file_and_circle_are_named(tmp_path):
    assert "no such configuration file" in message_of([tmp_path / "absent.yaml"])
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    assert "circle" in message_of([tmp_path / "a.yaml"])


@given(nested, nested)
def test_merge_keeps_the_base_where_the_overlay_is_silent(base, overlay):
    merged = merge(base, overlay)
    assert merged.keys() == base.keys() | overlay.keys()
    assert merge(base, {}) == base
    assert merge(merged, overlay) == merged


@given(nested)
def test_overrides_round_trip(values):
    restored: dict = {}
    for text in overrides_of(values):
        restored = merge(restored, parse_override(text))

    def pruned(node):
        if not isinstance(node, dict):
            return node
        children = {key: pruned(child) for key, child in node.items()}
        return {key: child for key, child in children.items() if child != {}}

    assert restored == pruned(values)
