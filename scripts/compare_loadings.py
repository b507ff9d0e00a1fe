"""An exported model loaded and changed in the ways that transformers offers, beside the plain one, on one question.

    dynfocus export-model exported --run dynfocus
    python scripts/compare_loadings.py exported FILM.mp4 --out speed/results/loadings

Every way is compared with its own original by the logits of all positions: the plain model in fp32, and for merged
adapters the model that carries them. `bitsandbytes` and `torchao` are measured where they are installed; a way that is
refused stands in the result with its line.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

import dynfocus.hub  # noqa: F401
from dynfocus.errors import UserError
from dynfocus.files import write_result
from dynfocus.machine.startup import prepare_process
from dynfocus.network.loading import UNQUANTISED
from dynfocus.steps.manifests import versions

QUESTION = "What moves?"
NEW_TOKENS = 8
LIBRARIES = ("torch", "transformers", "accelerate", "peft", "bitsandbytes", "torchao")
Pair = tuple[nn.Module, nn.Module]
"""A model, and the one that it should equal."""


def adapters(load: Callable[..., nn.Module], plain: nn.Module) -> Iterator[tuple[str, Callable[[], Pair]]]:
    """LoRA on every linear layer but those of the frozen vision tower, with weights as after a training."""
    from peft import LoraConfig, get_peft_model

    def adapted() -> nn.Module:
        torch.manual_seed(0)
        settings = LoraConfig(r=4, target_modules="all-linear", exclude_modules=".*vision_tower.*")
        model = get_peft_model(load(), settings).eval()
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(weight, std=0.02)
        return model

    yield "LoRA on every linear layer, carried", lambda: (adapted(), plain)
    yield "the same, merged, beside carried", lambda: (adapted().merge_and_unload(), adapted())


def quantised(load: Callable[..., nn.Module], plain: nn.Module) -> Iterator[tuple[str, Callable[[], Pair]]]:
    """Fewer bits for the language model, by what is installed."""

    def bits(**settings: Any) -> Callable[[], Pair]:
        return lambda: (load(quantization_config=BitsAndBytesConfig(**settings)), plain)

    four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    if "bitsandbytes" in versions(LIBRARIES):
        yield "bitsandbytes, 8 bits", bits(load_in_8bit=True)
        yield "bitsandbytes, 8 bits, the whole model", bits(load_in_8bit=True, llm_int8_skip_modules=["lm_head"])
        yield "bitsandbytes, 4 bits", bits(**four)
        yield "bitsandbytes, 4 bits, without down_proj", bits(**four, llm_int8_skip_modules=[*UNQUANTISED, "down_proj"])
    if "torchao" in versions(LIBRARIES):
        from transformers import TorchAoConfig

        eight = importlib.import_module("torchao.quantization").Int8WeightOnlyConfig()
        yield "torchao, 8 bits", lambda: (load(quantization_config=TorchAoConfig(eight)), plain)


def placed(load: Callable[..., nn.Module], plain: nn.Module, folder: str) -> Iterator[tuple[str, Callable[[], Pair]]]:
    """Types, places and sizes."""
    whole, layer = bytes_of(plain), bytes_of(plain.language_model.model.layers[0])

    def offloaded(memory: int) -> Callable[[], Pair]:
        return lambda: (load(device_map="auto", max_memory={"cpu": memory}, offload_folder=folder), plain)

    def larger() -> Pair:
        model = load()
        model.resize_token_embeddings(plain.config.get_text_config().vocab_size + 24)
        return model, plain

    yield "bf16", lambda: (load(dtype=torch.bfloat16), plain)
    yield 'device_map="auto"', lambda: (load(device_map="auto"), plain)
    yield 'device_map="auto", layers of the LLM on the disk', offloaded(whole - 2 * layer)
    yield 'device_map="auto", no memory for the connector', offloaded(whole // 4)
    yield "24 more words by resize_token_embeddings", larger


def bytes_of(module: nn.Module) -> int:
    """Bytes of the weights in memory; shared ones count once."""
    return sum(weight.nbytes for weight in module.parameters() if not weight.is_meta)


def difference(pair: Pair, batch: Mapping[str, Tensor], processor: Any) -> dict[str, Any]:
    """Largest difference of the logits, share of positions with the same best word, both answers, MiB of weights."""
    with torch.no_grad():
        made, expected = (one(**batch).logits.float() for one in pair)
    made = made[:, :, : expected.shape[2]]
    start = batch["input_ids"].shape[1]
    answers = [one.generate(**batch, max_new_tokens=NEW_TOKENS, do_sample=False)[:, start:] for one in pair]
    text, wanted = (processor.batch_decode(answer, skip_special_tokens=True)[0].strip() for answer in answers)
    return {
        "largest": float((made - expected).abs().max()),
        "same_best": float((made.argmax(2) == expected.argmax(2)).float().mean()),
        "answer": text,
        "same_answer": text == wanted,
        "mib": bytes_of(pair[0]) / 2**20,
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a Markdown page."""
    lines = [
        "# An exported mini model in the ways of transformers",
        "",
        f"Written by `scripts/compare_loadings.py`, on a CPU; {result['positions']} positions of one question on a "
        f"film, logits from {result['lowest']:.0f} to {result['highest']:.0f}. "
        + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        + ".",
        "",
        "| way | largest difference of a logit | same best word, % | same answer | weights held, MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in result["ways"].items():
        if "refused" in row:
            lines.append(f"| {name} | refused: {row['refused']} | – | – | – |")
        else:
            same = "yes" if row["same_answer"] else "no"
            lines.append(
                f"| {name} | {row['largest']:.2g} | {100 * row['same_best']:.1f} | {same} | {row['mib']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every way, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what dynfocus export-model wrote")
    parser.add_argument("film", type=Path, help="a film")
    parser.add_argument("--out", type=Path, default=None, help="result files without their ending; none: print only")
    options = parser.parse_args()
    prepare_process()
    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(options.folder)
    content = [{"type": "video", "path": str(options.film)}, {"type": "text", "text": QUESTION}]
    batch = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True
    )

    def load(**settings: Any) -> nn.Module:
        return AutoModelForImageTextToText.from_pretrained(options.folder, **settings).eval()

    plain = load()
    with torch.no_grad():
        logits = plain(**batch).logits
    ways: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (*adapters(load, plain), *quantised(load, plain), *placed(load, plain, folder)):
            try:
                ways[name] = difference(make(), batch, processor)
            except UserError as error:
                ways[name] = {"refused": str(error)}
            print(name, ways[name], flush=True)
    result = {
        "versions": versions(LIBRARIES),
        "positions": logits.shape[1],
        "lowest": float(logits.min()),
        "highest": float(logits.max()),
        "ways": ways,
    }
    print(markdown(result))
    if options.out is not None:
        write_result(options.out, result, markdown(result))


if __name__ == "__main__":
    main()
