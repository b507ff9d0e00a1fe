"""Selection rules and clusterings from a file, from an installed package, and from this one."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from toy import toy_batch, toy_config, toy_model, toy_samples
from transformers import AutoModelForCausalLM

from dynfocus.config import extensions
from dynfocus.config.schema import Network
from dynfocus.errors import UserError
from dynfocus.network import DynFocusForConditionalGeneration
from dynfocus.network.clustering import Clusters, identity_clusters

DOCS = Path(__file__).parents[2] / "docs"


def by_time(x, clusters, neighbours, mask, choices) -> Clusters:
    return identity_clusters(x[:, :clusters], clusters, None)


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """The worked examples of the documentation, where one runs."""
    monkeypatch.chdir(tmp_path)
    for page, name in (("new_variant.md", "my_rules.py"), ("new_package.md", "parts.py")):
        example = re.search(rf"```python file=\S*{name}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
        (tmp_path / name).write_text(example.group(1))
    return tmp_path


def test_the_documented_rule_is_short_and_decides_the_cones(rules):
    assert len([line for line in (rules / "my_rules.py").read_text().splitlines() if line.strip()]) <= 20
    model = toy_model(selection="my_rules.py:Unusual")
    frames = torch.randn(12, 64, 48) * 0.1
    frames[7] += 3
    story = model.explain(frames, torch.ones(4, dtype=torch.long))
    assert story.scores.argmax() == story.prototype_of_frame[7] and story.scores.max() == 1
    assert torch.equal(story.scores.topk(5).indices.sort().values, story.chosen)
    assert not [name for name, _ in model.named_parameters() if "selection" in name]


@pytest.mark.parametrize("training", [False, True])
def test_a_model_with_a_rule_from_a_file_trains_is_saved_and_loaded(rules, tmp_path, training):
    model = toy_model(selection="my_rules.py:Unusual").train(training)
    batch = toy_batch(model, toy_samples())
    model(**batch, labels=batch["input_ids"]).loss.backward()
    model.eval().save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_a_clustering_from_a_file(rules):
    model = toy_model(clustering="parts.py:by_time")
    story = model.explain(torch.randn(12, 64, 48), torch.ones(4, dtype=torch.long))
    assert story.prototype_of_frame.tolist() == [frame // 2 for frame in range(12)]


def test_an_installed_package_brings_a_clustering(monkeypatch):
    point = EntryPoint("by_time", f"{__name__}:by_time", "dynfocus.clustering")
    monkeypatch.setattr(extensions, "installed", lambda kind: [point] if kind == "clustering" else [])
    assert Network(clustering="by_time").clustering == "by_time"
    assert "by_time" in extensions.names("clustering")
    assert extensions.find("clustering", "by_time").__name__ == "by_time"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"clustering": "kmean"}, "the nearest one is kmeans"),
        ({"selection": "nothing like it"}, "the nearest one is learned"),
        ({"selection": "nowhere.py:Rule"}, r"there is no file nowhere\.py"),
    ],
)
def test_what_is_not_there_is_named(fields, message):
    with pytest.raises(UserError, match=message):
        toy_config(**fields)


def test_a_file_without_the_rule_is_named(rules):
    with pytest.raises(UserError, match=r"my_rules\.py:Missing cannot be used: AttributeError"):
        DynFocusForConditionalGeneration(toy_config(selection="my_rules.py:Missing"))


def test_all_names_of_this_package_lead_somewhere():
    for kind, table in extensions.BUILT_IN.items():
        for name in table:
            assert callable(extensions.find(kind, name))
