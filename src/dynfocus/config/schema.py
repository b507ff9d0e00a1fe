"""Every configuration key of the project, typed once.

The JSON schema (`config/schema.json`) and the reference page (`docs/configuration.md`) are
generated from these classes: `dynfocus export-config-docs`. A profile is a YAML file that
validates as `Config`; a run of `config/experiments.yaml` is a difference on its `network`,
`alignment`, `instruction` and `evaluation` sections.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def numeral(value: object) -> object:
    """Digits as the number they write: `snakemake --config` passes what is inside a mapping as text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Fraction = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
ZeroStage = Annotated[Literal[0, 1, 2], BeforeValidator(numeral)]
RodTokens = Annotated[Literal[0, 2], BeforeValidator(numeral)]

TrainingSet = Literal[
    "webvid_cap",
    "llava_cc3m",
    "videochatgpt",
    "llava_625k",
    "scienceqa",
    "clevrer",
    "nextqa",
    "webvid_qa",
]
Benchmark = Literal[
    "msvd_qa",
    "msrvtt_qa",
    "activitynet_qa",
    "vcg_bench",
    "video_mme",
    "lvbench",
    "mlvu",
    "mlvu_test",
    "videohallucer",
]
StartFrom = Literal["scratch", "stage1", "checkpoints", "predictions", "scores"]
DATASETS: tuple[str, ...] = (*get_args(TrainingSet), *get_args(Benchmark))


class Section(BaseModel):
    """A part of the configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Video(Section):
    """Which frames of a video are read, and at what size (paper C.1)."""

    fps: float = Field(1.0, gt=0, description="Frames sampled per second of video.")
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
    """The mini world: generated films with known ground truth (unused where `datasets` is `ledger`)."""

    seed: int = Field(0, description="Seed of every film, caption and question.")
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
    model: str = Field("EVA01-g-14", description="open_clip model name, or a JSON file of config/backbones.")
    weights: str = Field("laion400m_s11b_b41k", description="Tag or file of the weights; unused for `train`.")
    layer: int = Field(-2, le=-1, description="Block whose patch tokens are the features; -2 is the penultimate one.")
    steps: Count = Field(300, description="Training steps, for `train`.")
    batch_size: Count = Field(64, description="Image-caption pairs per step, for `train`.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate, for `train`.")


class LlmBackbone(Section):
    """The language model, a Hugging Face causal LM."""

    source: Literal["train", "hub", "gguf"] = Field(
        "hub", description="`train`: made by the workflow; `hub`: a hub id or folder; `gguf`: a GGUF file."
    )
    name: str = Field(
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
    name: str = Field(
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
    fine_prototypes: Annotated[int, Field(ge=0)] = Field(16, description="Fine object prototypes per frame (S-DPC).")
    coarse_prototypes: Annotated[int, Field(ge=0)] = Field(
        6, description="Coarse object prototypes per frame; 0: one grain."
    )
    fine_neighbours: Count = Field(8, description="C of S-DPC on the fine level.")
    coarse_neighbours: Count = Field(3, description="C of S-DPC on the coarse level.")
    clustering: Literal["dpc_knn", "kmeans", "weighted_kmeans"] = Field(
        "dpc_knn", description="Clustering in time and in space (Table 5)."
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
    perturbations: Count = Field(500, description="n, Gaussian draws of the perturbed Top-K.")
    sigma: float = Field(0.1, gt=0, description="Standard deviation of the perturbed Top-K, on scores in [0, 1].")
    topk_gradient: Literal["full", "diagonal"] = Field(
        "full", description="Jacobian of the perturbed Top-K: all of it, or the diagonal as in the released code."
    )
    projector_width: Count = Field(4096, description="Hidden width of F_fine and F_coarse.")


WEIGHTLESS = (
    "event_prototypes",
    "selection_ratio",
    "temporal_neighbours",
    "fine_neighbours",
    "coarse_neighbours",
    "clustering",
    "merge_weights",
)
"""Settings of `network` that no weight depends on: a trained model may answer with others."""


class Stage(Section):
    """One training stage (paper Table 11)."""

    datasets: list[TrainingSet] = Field(min_length=1, description="Training sets of the mixture.")
    trainable: list[Literal["projectors", "dpe_cce", "llm"]] = Field(
        description="Parts that learn: projectors (F_fine, F_coarse), dpe_cce (rest of connector, text encoder), llm."
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
    min_coverage: Fraction = Field(0.98, description="Training refuses to start when fewer samples are readable.")


class Hardware(Section):
    """What a heavy job asks for."""

    device: Literal["cpu", "cuda"] = Field("cuda", description="Where models run.")
    gpus: Annotated[int, Field(ge=0)] = Field(8, description="GPUs of a training job over all nodes.")
    processes: Count = Field(8, description="Training processes over all nodes; on cuda one per GPU.")
    nodes: Count = Field(1, description="Machines of a training job; more than one needs Slurm, or torchrun by hand.")
    threads: Count = Field(8, description="CPU threads of a model job.")

    @model_validator(mode="after")
    def _one_process_per_gpu(self) -> Hardware:
        if self.device == "cuda" and self.gpus != self.processes:
            raise ValueError(f"on cuda gpus ({self.gpus}) and processes ({self.processes}) must be equal")
        if self.processes % self.nodes:
            raise ValueError(f"processes ({self.processes}) must be a multiple of nodes ({self.nodes})")
        return self


class Judge(Section):
    """Who marks open-ended answers."""

    kind: Literal["rule", "openai", "replay"] = Field(
        "openai",
        description="`rule`: offline, deterministic; `openai`: an OpenAI-compatible server; `replay`: stored replies.",
    )
    model: str = Field("gpt-3.5-turbo-16k", description="Model name sent to the server.")
    base_url: str = Field("https://api.openai.com/v1", description="Server address.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")
    temperature: float = Field(0.0, ge=0, description="Sampling temperature.")
    max_tokens: Count = Field(64, description="Longest judge reply.")
    concurrency: Count = Field(16, description="Requests in flight.")
    requests_per_minute: Count = Field(3000, description="Rate limit.")
    timeout: float = Field(60.0, gt=0, description="Seconds before a request counts as failed.")
    retries: Annotated[int, Field(ge=0)] = Field(6, description="Tries after the first one.")
    price_in: float = Field(0.0, ge=0, description="US dollars per million prompt tokens.")
    price_out: float = Field(0.0, ge=0, description="US dollars per million reply tokens.")
    budget: float = Field(0.0, ge=0, description="US dollars after which no request is sent; 0: no cap.")
    max_unjudged: float = Field(
        0.001, ge=0, le=1, description="Share of unjudged answers above which a table cell is not printed."
    )


class Evaluation(Section):
    """Answering, judging and scoring."""

    shards: Count = Field(8, description="Parallel answer jobs per run and benchmark.")
    batch_size: Count = Field(4, description="Questions per generation batch.")
    max_new_tokens: Count = Field(1024, description="Longest answer.")
    temperature: float = Field(0.0, ge=0, description="0: greedy.")
    rectified_prompt: str = Field("", description="Sentence added to every question (Table 8, †); empty: none.")
    judge: Judge = Judge()
    bootstrap: Count = Field(2000, description="Resamples of the interval, clustered by video.")


class Config(Section):
    """A whole profile."""

    profile: str = Field(description="Name of the profile; tables carry it.")
    root: str = Field(description="Folder for data, backbones, features, checkpoints and results.")
    experiments: str = Field("config/experiments.yaml", description="File of runs and tables.")
    start_from: StartFrom = Field(
        "scratch",
        description="What is pulled in place of made: nothing, stage 1 and before, checkpoints, predictions, scores.",
    )
    published: list[str] = Field(
        ["*"],
        description="What `snakemake publish` stores, as patterns: `data/*`, `stage1/dynfocus`, `checkpoints/blind-*`",
    )
    datasets: Literal["world", "ledger"] = Field(
        "ledger", description="`world`: sets rendered by the mini world; `ledger`: the real sets."
    )
    ledger: str = Field("config/datasets.yaml", description="File of the real sets, for `datasets: ledger`.")
    seeds: list[int] = Field([0], min_length=1, description="Training seeds; tables average over them.")
    claim_seeds: list[int] = Field(
        [0, 1, 2], min_length=1, description="Training seeds of the target `claims`; a verdict needs three."
    )
    feature_shards: Count = Field(16, description="Parallel feature extraction jobs per set.")
    feature_precision: Literal["fp16", "fp32"] = Field("fp16", description="Storage type of cached features.")
    items: list[str] = Field(["all"], description="Report items to build, keys of `tables` in the experiments; `all`.")
    runs: list[str] = Field(["all"], description="Runs to train and score; an item shows a gap for the others; `all`.")
    benchmarks: list[Benchmark | Literal["all"]] = Field(
        ["all"], description="Benchmarks to score; an item shows a gap for the others; `all`."
    )
    video: Video = Video()
    world: World = World()
    backbones: Backbones = Backbones()
    network: Network = Network()
    alignment: Stage
    instruction: Stage
    evaluation: Evaluation = Evaluation()
    hardware: Hardware = Hardware()
