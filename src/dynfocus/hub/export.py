"""`dynfocus export-model`: a trained checkpoint as a folder to push to a hub.

config.json, model.safetensors      with the vision tower: pixels in, answers out
processor and tokenizer files       sampling, mean and deviation, chat template
dynfocus_hub.py                     custom code: names this package, for trust_remote_code
README.md                           the model card: data, scores with their intervals, limits
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.config.extensions import in_file
from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.own import answering_config
from dynfocus.files import read_json
from dynfocus.hub.processor import DynFocusMediaProcessor
from dynfocus.hub.video_processor import DynFocusVideoProcessor
from dynfocus.network import DynFocusForConditionalGeneration, DynFocusProcessor, clip, load_vision_tower

CODE = '''"""DynFocus for transformers; needs the package `dynfocus`."""

from dynfocus.hub import (  # noqa: F401
    DynFocusConfig,
    DynFocusForConditionalGeneration,
    DynFocusMediaProcessor,
    DynFocusVideoProcessor,
)
'''
CODE_FILE = "dynfocus_hub.py"
MODEL = f"{CODE_FILE.removesuffix('.py')}.DynFocusForConditionalGeneration"
AUTO_MAP = {
    "AutoConfig": f"{CODE_FILE.removesuffix('.py')}.DynFocusConfig",
    "AutoModelForCausalLM": MODEL,
    "AutoModelForImageTextToText": MODEL,
    "AutoModelForMultimodalLM": MODEL,
}
AUTO_PROCESSOR = {"AutoProcessor": f"{CODE_FILE.removesuffix('.py')}.DynFocusMediaProcessor"}


def export_model(
    config: Config, run: str, checkpoint: Path, clip_folder: Path, out: Path, scores: Sequence[Path] = ()
) -> None:
    """Write the folder of a checkpoint.

    Args:
        config: resolved configuration of the run; its video sampling, L and K/L go with the model.
        run: its name, for the card; clip_folder: the visual encoder that the features came from.
        scores: score files of the run (`results/scores/RUN/seed-S.json`) for the card.

    Raises:
        UserError: `out` is not empty, a part is missing, or the model needs a file that is not in it.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: not empty; name a new folder")
    settings = answering_config(checkpoint, config.network)
    model = DynFocusForConditionalGeneration.from_pretrained(checkpoint, config=settings)
    for kind in ("clustering", "selection"):
        if in_file(getattr(model.config, kind)):
            raise UserError(
                f"network.{kind}: {getattr(model.config, kind)} is a file that others lack; put it in a package with "
                f"an entry point in `dynfocus.{kind}` and train with its name"
            )
    tower = load_vision_tower(clip.load(clip_folder).visual, config.backbones.clip.layer)
    shape = read_json(clip_folder / clip.CONFIG_FILE, dict, "run `dynfocus prepare-clip` again")
    model.vision_tower = tower
    model.config.vision_config = {
        "model": {key: shape[key] for key in ("embed_dim", "vision_cfg")},
        "layer": config.backbones.clip.layer,
        "mean": tower.mean,
        "std": tower.std,
    }
    model.config.auto_map = AUTO_MAP
    model.save_pretrained(out)
    known = DynFocusProcessor.from_pretrained(checkpoint)
    sampling = config.video.model_dump(include={"fps", "image_size", "max_frames", "capped_frames"})
    seen = DynFocusVideoProcessor(image_mean=list(tower.mean), image_std=list(tower.std), **sampling)
    processor: Any = DynFocusMediaProcessor(seen, known.tokenizer, known.qformer_tokenizer, model.config)
    processor.auto_map = AUTO_PROCESSOR
    processor.save_pretrained(out)
    (out / CODE_FILE).write_text(CODE, encoding="utf-8")
    records = [record for file in scores for record in read_json(file, list, "score the run again")]
    (out / "README.md").write_text(model_card(config, run, records), encoding="utf-8")


def model_card(config: Config, run: str, records: Sequence[dict[str, Any]]) -> str:
    """The card in Markdown with its metadata; a score that could not be computed is not listed."""
    sets = [*config.alignment.datasets, *config.instruction.datasets]
    network = config.network
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: video-text-to-text",
        "license: apache-2.0",
        "tags: [video, dynfocus]",
        *(["datasets:", *(f"- {name}" for name in dict.fromkeys(sets))]),
        "---",
        "",
        f"# {run}, profile {config.profile}",
        "",
        "A video language model of *DynFocus: Dynamic Cooperative Network Empowers LLMs with Video Understanding* "
        "(arXiv 2411.12355), trained by its reproduction.",
        "",
        "```python",
        "import dynfocus.hub  # or trust_remote_code=True in the next two lines",
        "from transformers import AutoModelForImageTextToText, AutoProcessor",
        "",
        'processor = AutoProcessor.from_pretrained("FOLDER")',
        'model = AutoModelForImageTextToText.from_pretrained("FOLDER")',
        'talk = [{"role": "user", "content": [{"type": "video", "path": "film.mp4"},',
        '                                     {"type": "text", "text": "What is it doing?"}]}]',
        "batch = processor.apply_chat_template(talk, add_generation_prompt=True, tokenize=True, return_dict=True)",
        "answer = model.generate(**batch, max_new_tokens=32)",
        'print(processor.batch_decode(answer[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)[0])',
        "```",
        "",
        "## Training",
        "",
        f"Alignment on {', '.join(config.alignment.datasets)}; instruction tuning on "
        f"{', '.join(config.instruction.datasets)}. Encoder `{network.encoder}`, L = {network.event_prototypes}, "
        f"K/L = {network.selection_ratio}; visual encoder {config.backbones.clip.model}, language model "
        f"{config.backbones.llm.name}; frames at {config.video.fps:g} a second.",
        "",
        "## Scores",
        "",
    ]
    rows = [
        f"| {record['benchmark']} | {name} | {value['value']:.1f} [{value['low']:.1f}, {value['high']:.1f}] | "
        f"{record['coverage']['answered']} of {record['coverage']['total']} | {record['seed']} | "
        f"{record['judge'] or '–'} |"
        for record in records
        for name, value in record["metrics"].items()
        if value.get("value") is not None
    ]
    if rows:
        head = "| benchmark | metric | value [95 % interval] | answered | seed | judge |"
        lines += [head, "| --- | --- | --- | --- | --- | --- |", *rows]
    else:
        lines.append("None were given when the model was exported.")
    lines += [
        "",
        "## Limits",
        "",
        *(
            [
                "Trained on generated films of simple shapes: it knows nothing of the real world, and its scores are "
                "of that world alone.",
                "",
            ]
            if config.source == "world"
            else []
        ),
        "Answers may be wrong. Nothing was done against harmful or biased answers beyond what the parts had done.",
        "",
    ]
    return "\n".join(lines)
