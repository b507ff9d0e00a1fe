"""Every configuration key of the project, typed once.

The JSON schema (`config/schema.json`) and the reference page (`docs/configuration.md`) are
generated from these classes: `dynfocus export-config-docs`. A profile is a YAML file that
validates as `Config`; a run of `config/experiments.yaml` is a difference on its `network`,
`alignment`, `instruction` and `evaluation` sections.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dynfocus.config import extensions
from dynfocus.config.names import BENCHMARKS, TRAINING_SETS
from dynfocus.config.nearest import nearest
from dynfocus.errors import one_line

MOST = 10**9
"""No count is larger; it keeps arithmetic on counts quick, and the reference page does not show it."""
LARGEST_SEED = 2**32 - 1
"""What the generators of NumPy take."""
PLAIN = re.compile(r"[\w./+@=,-]+")


def numeral(value: object) -> object:
    """Digits as the number they write: `snakemake --config` passes what is inside a mapping as text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def listed_once(values: list[Any]) -> list[Any]:
    """The list. Raises ValueError where an entry stands in it twice."""
    twice = next((value for number, value in enumerate(values) if value in values[:number]), None)
    if twice is not None:
        raise ValueError(f"{twice} is listed twice; remove one of the two")
    return values


def line(text: str) -> str:
    """The text. Raises ValueError where it is blank, or has a line feed or another control character."""
    if not text.strip():
        raise ValueError("is empty; give a text")
    if text != one_line(text):
        raise ValueError(f"must be one line without control characters, got '{one_line(text)}'")
    return text


def plain(text: str) -> str:
    """The text. Raises ValueError where a shell, Snakemake or a terminal would read more than a name in it."""
    if not PLAIN.fullmatch(line(text)) or text.startswith("-"):
        raise ValueError(
            f"must be made of letters, digits and . _ / + @ = , - and not begin with -, got '{text}'; "
            "paths and commands hold it"
        )
    return text


def folder(text: str) -> str:
    """The text. Raises ValueError where it is no path of a folder that Snakemake can take; single blanks are fine."""
    words = line(text).split(" ")
    if not all(PLAIN.fullmatch(word) for word in words) or text.startswith("-"):
        raise ValueError(
            f"must be made of letters, digits, single blanks and . _ / + @ = , - and not begin with -, got '{text}'; "
            "paths and commands hold it"
        )
    if text.startswith("/") and not text.strip("/."):
        raise ValueError(f"{text} is the root of the file system; name a folder in it")
    return text


Fraction = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=MOST)]
CountOrZero = Annotated[int, Field(ge=0, le=MOST)]
Line = Annotated[str, AfterValidator(line)]
Plain = Annotated[str, AfterValidator(plain)]
Folder = Annotated[str, AfterValidator(folder)]
Once = AfterValidator(listed_once)
FeaturePrecision = Literal["fp16", "fp32", "int8"]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Seeds = Annotated[list[Seed], Once]
ZeroStage = Annotated[Literal[0, 1, 2], BeforeValidator(numeral)]
RodTokens = Annotated[Literal[0, 2], BeforeValidator(numeral)]
Clustering = Annotated[str, AfterValidator(partial(extensions.check, "clustering"))]
Selection = Annotated[str, AfterValidator(partial(extensions.check, "selection"))]


def training_set_name(name: str) -> str:
    """The name, if a training set has it."""
    if name not in TRAINING_SETS:
        raise ValueError(f"no training set is named {name}; {nearest(name, list(TRAINING_SETS))}")
    return name


def benchmark_name(name: str) -> str:
    """The name, if a benchmark has it."""
    if name not in BENCHMARKS:
        raise ValueError(f"no benchmark is named {name}; {nearest(name, list(BENCHMARKS))}")
    return name


def benchmark_name_or_all(name: str) -> str:
    """The name, if it is `all` or a benchmark has it."""
    return name if name == "all" else benchmark_name(name)


TrainingSet = Annotated[str, AfterValidator(training_set_name), Field(examples=list(TRAINING_SETS))]
Benchmark = Annotated[str, AfterValidator(benchmark_name), Field(examples=list(BENCHMARKS))]
BenchmarkOrAll = Annotated[str, AfterValidator(benchmark_name_or_all), Field(examples=["all", *BENCHMARKS])]
StartFrom = Literal["scratch", "stage1", "checkpoints", "predictions", "scores"]
DATASETS: tuple[str, ...] = (*TRAINING_SETS, *BENCHMARKS)


class Closed(BaseModel):
    """Keys and values with all keys known; another one is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Section(Closed):
    """A part of the configuration."""

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, field: ValidationInfo) -> Any:
        """Python counts true as 1; a share of true, or a seed, is a mistake."""
        wants_truth = cls.model_fields[str(field.field_name)].annotation is bool
        if wants_truth and isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"must be true or false, got {value}")
        if not wants_truth and any(isinstance(item, bool) for item in (value if isinstance(value, list) else [value])):
            raise ValueError("must not be true or false (YAML reads yes, no, on and off so); give a number or a text")
        return value


class Video(Section):
    """Which frames of a video are read, and at what size (paper C.1)."""

    fps: float = Field(1.0, gt=0, description="Frames sampled per second of video.")
    sampling: Literal["time", "index"] = Field(
        "time",
        description="`time`: the frames on the screen every 1/fps seconds; `index`: every (average rate / fps)-th "
        "frame, as in the released code.",
    )
    max_frames: Count = Field(
        1000, description="A video with more sampled frames than this is thinned to `capped_frames`."
    )
    capped_frames: Count = Field(200, description="Frames kept, evenly spread, of a video over `max_frames`.")
    image_size: Count = Field(224, description="Side of the square frame given to the visual encoder, in pixels.")
    min_readable: Fraction = Field(
        0.9, description="Share of a set's media that must be readable, else feature extraction stops."
    )

    @model_validator(mode="after")
    def _cap_is_below_limit(self) -> Video:
        if self.capped_frames > self.max_frames:
            raise ValueError("capped_frames must not exceed max_frames")
        return self


class World(Section):
    """The mini world: generated films with known ground truth (unused where `source` is `ledger`)."""

    seed: Seed = Field(0, description="Seed of every film, caption and question.")
    train_clips: Count = Field(1600, description="Short clips of webvid_cap, the captions of the default mixture.")
    train_films: Count = Field(320, description="Films of videochatgpt, the questions of the default mixture.")
    extra_films: Count = Field(320, description="Films of each video set that the larger mixtures add.")
    train_images: Count = Field(400, description="Still images of each image training set.")
    test_films: Count = Field(
        40, description="Films of a benchmark; msvd_qa has five times, video_mme three times as many."
    )
    frame_size: Count = Field(128, description="Width and height of a film in pixels.")
    frame_rate: Count = Field(2, description="Frames per second of the mp4 file.")


class ClipBackbone(Section):
    """The visual encoder, an open_clip model, frozen in both stages."""

    source: Literal["train", "open_clip", "lavis"] = Field(
        "open_clip",
        description="`train`: made by the workflow; `open_clip`: published weights by tag or file; "
        "`lavis`: eva_vit_g.pth, the visual encoder alone.",
    )
    model: Line = Field(
        "EVA01-g-14",
        description="open_clip model name, `hf-hub:` and a hub id, `local-dir:` and a folder, or a JSON file of "
        "config/backbones.",
    )
    weights: Line = Field(
        "laion400m_s11b_b41k",
        description="Tag or file of the weights; unused for `train`, and for a model of a hub id or folder, which has "
        "its own.",
    )
    layer: int = Field(-2, le=-1, description="Block whose patch tokens are the features; -2 is the penultimate one.")
    steps: Count = Field(300, description="Training steps, for `train`.")
    batch_size: Count = Field(64, description="Image-caption pairs per step, for `train`.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate, for `train`.")


class LlmBackbone(Section):
    """The language model, a Hugging Face causal LM."""

    source: Literal["train", "hub", "gguf"] = Field(
        "hub", description="`train`: made by the workflow; `hub`: a hub id or folder; `gguf`: a GGUF file."
    )
    name: Line = Field(
        "lmsys/vicuna-7b-v1.5",
        description="Hub id (`@commit` pins it), folder, GGUF file, or a JSON of config/backbones.",
    )
    steps: Count = Field(400, description="Training steps, for `train`.")
    batch_size: Count = Field(32, description="Texts per step, for `train`.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate, for `train`.")


class QformerBackbone(Section):
    """The text encoder: an InstructBLIP Q-Former that reads the question and a frame."""

    source: Literal["train", "hub", "lavis", "bert"] = Field(
        "hub",
        description="`train`: made by the workflow; `hub`: an InstructBLIP model; `lavis`: its checkpoint in LAVIS's "
        "layout; `bert`: a BERT with new cross-attention, for a visual encoder of another width.",
    )
    name: Line = Field(
        "Salesforce/instructblip-vicuna-7b",
        description="Hub id (`@commit` pins it), file, or a JSON of config/backbones.",
    )
    steps: Count = Field(200, description="Training steps, for `train`.")
    batch_size: Count = Field(64, description="Frame-text pairs per step, for `train`.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate, for `train`.")
    max_text_tokens: Count = Field(256, description="Longest prompt read; longer ones lose their left end (B.4).")


class Backbones(Section):
    """The three pretrained parts."""

    clip: ClipBackbone = ClipBackbone()
    llm: LlmBackbone = LlmBackbone()
    qformer: QformerBackbone = QformerBackbone()


class Network(Section):
    """The connector between the visual encoder and the LLM (paper B.3 to B.7, C.1)."""

    encoder: Literal["dynfocus", "two_token", "llama_vid", "flash_vstream", "chat_univi", "blind"] = Field(
        "dynfocus",
        description="What turns frames into tokens; `two_token` is DynFocus without DPE+CCE, `blind` sees nothing.",
    )
    grid: Count = Field(16, description="Patches along a side of a frame; N = grid².")
    pooled_grid: Count = Field(4, description="Side of the pooled grid; P = pooled_grid² tokens (16).")
    event_prototypes: Count = Field(25, description="L, event prototypes kept by T-DPC.")
    selection_ratio: Fraction = Field(0.8, description="K/L, share of the event prototypes that become cones.")
    temporal_neighbours: Count = Field(5, description="C of the k-NN density in T-DPC (not given by the paper).")
    fine_prototypes: Count = Field(16, description="Fine object prototypes per frame (S-DPC).")
    coarse_prototypes: CountOrZero = Field(6, description="Coarse object prototypes per frame; 0: one grain.")
    fine_neighbours: Count = Field(8, description="C of S-DPC on the fine level.")
    coarse_neighbours: Count = Field(3, description="C of S-DPC on the coarse level.")
    clustering: Clustering = Field(
        "dpc_knn",
        description="Clustering in time and in space (Table 5): `dpc_knn`, `kmeans`, `weighted_kmeans`, or one from "
        "outside (docs/new_variant.md).",
    )
    density_neighbours: Literal["others", "with_itself"] = Field(
        "others",
        description="The C neighbours of the k-NN density: the others, or with the item itself as in released code.",
    )
    density_separation: Literal["squared", "distance"] = Field(
        "squared", description="δ of DPC-KNN: in squared distances, as D is, or in distances as in released code."
    )
    densest_separation: Literal["own", "sample"] = Field(
        "own", description="δ of the densest item: its own farthest distance, or the sample's as in released code."
    )
    kmeans_weights: Literal["density", "exp_density", "equal"] = Field(
        "density", description="Weights of weighted K-means, which the paper does not name: ρ, exp(ρδ), or equal."
    )
    merge_weights: Literal["exp_density", "mean"] = Field(
        "exp_density", description="Weights of the members of an object prototype: exp(ρδ) as in B.3, or equal."
    )
    group_gate: bool = Field(
        False, description="Scale each coarse group by a learned softmax gate: in the released code, not in the paper."
    )
    fusion: Literal["concat_multi", "concat", "cross_attention"] = Field(
        "concat_multi", description="How a cone joins h_t and G_t (Table 6)."
    )
    cone_tokens: Literal["full", "patches", "none", "dropped"] = Field(
        "full",
        description="Tokens of a cone: `full` P + I + J, `patches` all N patches alone, `none` J as a rod, "
        "`dropped` 0 (rod / cone ablation).",
    )
    rod_tokens: RodTokens = Field(2, description="J, tokens of a rod frame (rod / cone ablation).")
    rod_order: Literal["context_first", "content_first"] = Field(
        "context_first", description="Which of a frame's two F_coarse tokens leads; the released code: the content."
    )
    selection: Selection = Field(
        "learned",
        description="Scores of the event prototypes: the network U, or a rule from outside (docs/new_variant.md).",
    )
    perturbations: Count = Field(500, description="n, Gaussian draws of the perturbed Top-K.")
    sigma: float = Field(0.1, gt=0, description="Standard deviation of the perturbed Top-K, on scores in [0, 1].")
    topk_gradient: Literal["full", "diagonal"] = Field(
        "full", description="Jacobian of the perturbed Top-K: all of it, or the diagonal as in the released code."
    )
    projector_width: Count = Field(4096, description="Hidden width of F_fine and F_coarse.")
    rope_factor: float = Field(
        1.0, ge=1, description="Linear scaling of the LLM's rotary positions, for tokens of one round beyond them."
    )


WEIGHTLESS = (
    "event_prototypes",
    "selection_ratio",
    "temporal_neighbours",
    "fine_neighbours",
    "coarse_neighbours",
    "clustering",
    "density_neighbours",
    "density_separation",
    "densest_separation",
    "kmeans_weights",
    "merge_weights",
)
"""Settings of `network` that no weight depends on: a trained model may answer with others."""


class Stage(Section):
    """One training stage (paper Table 11)."""

    datasets: Annotated[list[TrainingSet], Once] = Field(min_length=1, description="Training sets of the mixture.")
    trainable: Annotated[list[Literal["projectors", "dpe_cce", "llm", "lora"]], Once] = Field(
        min_length=1,
        description="Parts that learn: projectors (F_fine, F_coarse), dpe_cce (rest of connector, text encoder), llm; "
        "or, in place of llm, lora: low-rank adapters of it, merged when the stage ends.",
    )
    lora_rank: Count = Field(128, description="Rank of the adapters of `lora`.")
    lora_alpha: float = Field(256.0, gt=0, description="Scale of the adapters, divided by their rank.")
    frozen_llm: Literal["full", "nf4"] = Field(
        "full", description="Weights of an LLM that does not learn: as they are, or its maps in nf4, QLoRA's four bits."
    )
    epochs: float = Field(1.0, gt=0, description="Passes over the mixture.")
    global_batch: Count = Field(description="Samples per optimizer step over all devices and accumulation.")
    micro_batch: Count = Field(description="Samples per device and forward pass.")
    learning_rate: float = Field(gt=0, description="Peak learning rate of AdamW.")
    warmup_ratio: float = Field(0.03, ge=0, lt=1, description="Share of the steps with a rising rate.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Learning rate schedule.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW weight decay.")
    beta2: float = Field(
        0.999, gt=0, lt=1, description="AdamW decay of the squared gradients; short trainings want less."
    )
    max_text_tokens: Count = Field(2048, description="Text tokens kept per sample, before visual tokens are inserted.")
    zero_stage: ZeroStage = Field(description="DeepSpeed ZeRO stage.")
    precision: Literal["fp32", "bf16"] = Field("bf16", description="Compute type.")
    gradient_checkpointing: bool = Field(True, description="Recompute activations in the backward pass.")
    group_by_length: bool = Field(True, description="Batch samples of similar length.")
    max_rounds: Count = Field(100, description="Question-answer rounds per sample; longer talks are cut into several.")
    save_steps: Count = Field(500, description="Optimizer steps between rolling checkpoints.")
    held_out: CountOrZero = Field(
        0, description="Samples, about, of whole media that are not learned from; their loss is logged on the way."
    )
    min_coverage: Fraction = Field(
        0.98, description="Training refuses to start when fewer samples have features and a label."
    )

    @model_validator(mode="after")
    def _llm_or_its_adapters(self) -> Stage:
        if {"llm", "lora"} <= set(self.trainable):
            raise ValueError("trainable: lora stands in place of llm; name one of them")
        if self.four_bits and self.zero_stage > 0:
            raise ValueError(f"frozen_llm {self.frozen_llm}: weights of four bits are not shared; set zero_stage to 0")
        return self

    @property
    def four_bits(self) -> bool:
        """Whether the LLM is in four bits."""
        return self.frozen_llm == "nf4" and "llm" not in self.trainable


class Hardware(Section):
    """What a heavy job asks for."""

    device: Literal["cpu", "cuda"] = Field("cuda", description="Where models run.")
    gpus: CountOrZero = Field(8, description="GPUs of a training job over all nodes.")
    processes: Count = Field(8, description="Training processes over all nodes; on cuda one per GPU.")
    nodes: Count = Field(1, description="Machines of a training job; more than one needs Slurm, or torchrun by hand.")
    threads: Count = Field(8, description="CPU threads of a model job.")
    peak_tflops: float | None = Field(
        None,
        gt=0,
        description="Peak rate of one GPU in the type of the training, in TFLOP/s (A100: 312); with it a training logs "
        "its model FLOPs utilisation.",
    )
    rank_timeout: Count = Field(
        1800, description="Seconds that the processes of a training wait for one that does not answer; then all end."
    )

    @model_validator(mode="after")
    def _one_process_per_gpu(self) -> Hardware:
        if self.device == "cuda" and self.gpus != self.processes:
            raise ValueError(f"on cuda gpus ({self.gpus}) and processes ({self.processes}) must be equal")
        if self.processes % self.nodes:
            raise ValueError(f"processes ({self.processes}) must be a multiple of nodes ({self.nodes})")
        return self


JudgeCriterion = Literal[
    "qa",
    "correctness",
    "detail",
    "context",
    "temporal",
    "consistency",
    "mlvu_sub_scene",
    "mlvu_summary",
]


class JudgeText(Section):
    """One official judge text, keyed by its criterion: an evaluation script of others, read and never run."""

    file: str = Field(description="Python file that holds one list of a system and a user message.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file; another content is refused.")


class Judge(Section):
    """Who marks open-ended answers (docs/benchmarks/judge.md)."""

    kind: Literal["rule", "openai", "replay"] = Field(
        "openai",
        description="`rule`: offline, deterministic; `openai`: an OpenAI-compatible server; `replay`: stored replies.",
    )
    model: str = Field(
        "Qwen/Qwen2.5-14B-Instruct@cf98f3b3bbb457ad9e2bb7baf9a0125b6b88caa8",
        description="Model name sent to the server; an own server is started under a name that holds the commit.",
    )
    base_url: str = Field(
        "http://127.0.0.1:8000/v1",
        pattern="^https?://",
        description="Server; part of what a stored reply is found by.",
    )
    address: str = Field(
        "",
        pattern="^(https?://.*)?$",
        description="Where that server is reached today, if not at `base_url`; changes no verdict and no key.",
    )
    api_key_env: str = Field("", description="Environment variable that holds the key; empty: a server without keys.")
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        0.0, description="Sampling temperature; null: not sent, for models that refuse it."
    )
    max_tokens: Count = Field(64, description="Longest judge reply, without thoughts; MLVU's marks get 1024.")
    reasoning_tokens: CountOrZero = Field(
        0, description="Tokens on top of `max_tokens` for the thoughts of a reasoning model."
    )
    reasoning_effort: str = Field(
        "", description="`reasoning_effort` of a reasoning model, say `low`; empty: not sent."
    )
    structured: Literal["auto", "never"] = Field(
        "auto", description="`auto`: replies in a JSON schema where the server takes one; `never`: free text."
    )
    limit_parameter: Literal["auto", "max_completion_tokens", "max_tokens"] = Field(
        "auto", description="How the request names its token limit; `auto`: the new name, the old where it is refused."
    )
    repeat: CountOrZero = Field(
        0, description="Number of the asking: equal calls under another number are asked again, to measure drift."
    )
    texts: dict[JudgeCriterion, JudgeText] = Field(
        {}, description="Official judge texts, by criterion, in place of this project's wording."
    )
    concurrency: Count = Field(16, description="Requests in flight.")
    requests_per_minute: Count = Field(3000, description="Rate limit.")
    timeout: float = Field(60.0, gt=0, description="Seconds before a request counts as failed.")
    retries: CountOrZero = Field(6, description="Tries after the first one.")
    give_up_after: Count = Field(10, description="Calls in a row that fail alike, after which the step ends.")
    price_in: float = Field(0.0, ge=0, description="US dollars per million prompt tokens.")
    price_out: float = Field(0.0, ge=0, description="US dollars per million reply tokens, thoughts included.")
    budget: float = Field(0.0, ge=0, description="US dollars that are never passed; 0: no cap. Needs both prices.")
    max_unjudged: float = Field(
        0.001, ge=0, le=1, description="Share of unjudged answers above which a table cell is not printed."
    )

    @model_validator(mode="after")
    def _budget_has_prices(self) -> Judge:
        if self.budget and not (self.price_in and self.price_out):
            raise ValueError(
                f"budget ({self.budget}) needs price_in and price_out: without prices every call counts as free"
            )
        return self


class Evaluation(Section):
    """Answering, judging and scoring."""

    shards: Count = Field(8, description="Parallel answer jobs per run and benchmark.")
    batch_size: Count = Field(4, description="Questions per generation batch.")
    max_new_tokens: Count = Field(1024, description="Longest answer.")
    temperature: float = Field(0.0, ge=0, description="0: greedy.")
    rectified_prompt: str = Field("", description="Sentence added to every question (Table 8, †); empty: none.")
    subtitles: bool = Field(False, description="Video-MME with subtitles: those at the times of the sampled frames.")
    limit: Count | None = Field(
        None, description="Most questions (pairs, units) per benchmark, a seeded sample of them; null: all. For a try."
    )
    limit_seed: Seed = Field(0, description="Seed of the sample that `limit` takes.")
    judge: Judge = Judge()
    second_judge: Judge | None = Field(
        None,
        description="Another judge of the same answers, as differences on `judge` (`repeat: 1` asks it again), for the "
        "table of agreement.",
    )
    bootstrap: Count = Field(2000, description="Resamples of the interval, clustered by video.")

    @model_validator(mode="before")
    @classmethod
    def _second_judge_starts_from_the_first(cls, values: object) -> object:
        if isinstance(values, dict):
            first, second = values.get("judge"), values.get("second_judge")
            if isinstance(first, dict) and isinstance(second, dict):
                return {**values, "second_judge": {**first, **second}}
        return values


class Config(Section):
    """A whole profile."""

    profile: Plain = Field(description="Name of the profile; tables carry it.")
    root: Folder = Field(description="Folder for data, backbones, features, checkpoints and results.")
    experiments: Line = Field("config/experiments.yaml", description="File of runs and report items.")
    start_from: StartFrom = Field(
        "scratch",
        description="How late published results may take the place of jobs, where they fit: never, up to stage 1, "
        "checkpoints, predictions, scores. What is not published, or with other settings, is made.",
    )
    never_train: bool = Field(
        False, description="Stop with one line that names them where models would have to be trained."
    )
    published: list[str] = Field(
        ["*"],
        description="What `snakemake publish` stores, as patterns: `data/*`, `stage1/dynfocus`, `checkpoints/blind-*`",
    )
    source: Literal["world", "ledger"] = Field(
        "ledger", description="`world`: sets rendered by the mini world; `ledger`: the real sets."
    )
    ledger: Line = Field("config/datasets.yaml", description="File of the real sets, for `source: ledger`.")
    substitutes: dict[TrainingSet, list[TrainingSet]] = Field(
        {},
        description="Sets that take the place of another in the mixtures of all runs, as `{webvid_cap: "
        "[llava_video_cap], webvid_qa: []}`; none: the set is left out. Every table says so.",
    )
    max_samples: dict[TrainingSet, Count] = Field(
        {},
        description="Samples of a training set that are used, about: whole media in a fixed order; else all.",
    )
    seeds: Seeds = Field([0], min_length=1, description="Training seeds; tables average over them.")
    claim_seeds: Seeds = Field(
        [0, 1, 2], min_length=1, description="Training seeds of the target `claims`; a verdict needs three."
    )
    report_to: Annotated[list[Line], Once] = Field(
        [],
        description="Where a training reports beside TensorBoard and its log, by transformers' names: `wandb`, "
        "`mlflow`, `trackio` …; each needs its package.",
    )
    feature_shards: Count = Field(16, description="Parallel feature extraction jobs per set.")
    feature_precision: FeaturePrecision = Field(
        "fp16",
        description="Storage type of cached features; `int8` halves the cache of `fp16` (docs/cluster.md).",
    )
    on_the_fly: Annotated[list[TrainingSet], Once] = Field(
        [],
        description="Training sets encoded while they are trained on, to the same losses, in place of cached features: "
        "`dynfocus plan` says which.",
    )
    items: Annotated[list[str], Once] = Field(
        ["all"], min_length=1, description="Report items to build, keys of `items` in the experiments; `all`."
    )
    runs: Annotated[list[str], Once] = Field(
        ["all"], min_length=1, description="Runs to train and score; an item shows a gap for the others; `all`."
    )
    benchmarks: Annotated[list[BenchmarkOrAll], Once] = Field(
        ["all"], min_length=1, description="Benchmarks to score; an item shows a gap for the others; `all`."
    )
    video: Video = Video()
    world: World = World()
    backbones: Backbones = Backbones()
    network: Network = Network()
    alignment: Stage
    instruction: Stage
    evaluation: Evaluation = Evaluation()
    hardware: Hardware = Hardware()

    @model_validator(mode="after")
    def _substitutes_stand(self) -> Config:
        for name, others in self.substitutes.items():
            replaced = [other for other in others if other in self.substitutes]
            if replaced:
                raise ValueError(f"substitutes: {replaced[0]} stands for {name} and is itself replaced; name another")
        return self
