# The configuration of this run and the functions that rules call; no rules here.
import os
import sys
from pathlib import Path

from dynfocus.artefacts.ladder import cost_lines, require_fitting, rungs_pulled
from dynfocus.steps.jobs import Jobs
from dynfocus.config.load import load_config, overrides_of
from dynfocus.errors import UserError
from dynfocus.machine.gpus import require_gpus
from dynfocus.machine.locks import acquire
from dynfocus.steps.manifests import manifest_path
from dynfocus.machine.gpus import check_offer


def stop(error):
    """End the run with one line, without a traceback."""
    sys.exit(f"dynfocus: {error}")


try:
    JOBS = Jobs.load(load_config(workflow.configfiles, list(overrides_of(workflow.config_settings.config))))
    require_fitting(JOBS)
except UserError as error:
    stop(error)

# Written before the first job; commands read this copy, so an edit during a run changes nothing.
RESOLVED = str(JOBS.layout.config)
RUNGS_PULLED = rungs_pulled(JOBS)
THREADS = JOBS.config.hardware.threads
ON_GPU = int(JOBS.config.hardware.device == "cuda")
TRAINING_GPUS = JOBS.config.hardware.gpus * ON_GPU
NODES = JOBS.config.hardware.nodes
# Over several nodes Slurm reserves one task a node, and the command itself starts them with srun.
SPREAD = {"nodes": NODES, "tasks": NODES, "tasks_per_gpu": 0, "mpi": "srun"} if NODES > 1 else {}

# Every job finds the commands of this environment, shows progress at once, and hashes alike.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    PYTHONUNBUFFERED="1",
    PYTHONHASHSEED="0",
)
# Where it is set (many containers), every one of some hundred jobs compiles the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# Snakemake would run a job for 8 GPUs on the one GPU of `--resources gpu=1` without a word.
if workflow.is_main_process and (offer := workflow.global_resources.get("gpu")) is not None:
    try:
        check_offer(offer.value, max(ON_GPU, TRAINING_GPUS))
    except UserError as error:
        stop(error)


def below_root(path):
    return str(Path(JOBS.config.root, path))


# Paths of what jobs read. A manifest stands for the folder or the large file that it describes.


def manifests(paths):
    return [str(manifest_path(path)) for path in paths]


def data_of(sets):
    return manifests(JOBS.layout.data / name for name in sets)


def features_of(shards):
    return manifests(JOBS.layout.feature_shard(*shard) for shard in shards)


def alignments_of(pairs):
    return manifests(JOBS.layout.alignment(JOBS.alignment_key(run, seed)) for run, seed in pairs)


def checkpoints_of(pairs):
    return manifests(JOBS.checkpoint(run, seed) for run, seed in pairs)


def scores_of(pairs):
    return [str(JOBS.layout.scores(run, seed)) for run, seed in pairs]


def backbone_inputs(name):
    return JOBS.backbone_files(name)


def model_inputs(wildcards):
    """The configuration file of a model in a folder; none for one of the hub."""
    file = Path(JOBS.foreign(wildcards.run) or "", "config.json")
    return [str(file)] if file.is_file() else []


def alignment_data(wildcards):
    run, _ = JOBS.alignment(wildcards.key)
    return data_of(JOBS.run(run).alignment.datasets)


def alignment_features(wildcards):
    run, _ = JOBS.alignment(wildcards.key)
    return features_of(JOBS.training_shards(run, "alignment"))


def instruction_start(wildcards):
    """The stage-1 checkpoint, or the backbones for a run that has no connector to align."""
    if JOBS.has_alignment(wildcards.run):
        return alignments_of([(wildcards.run, int(wildcards.seed))])
    return manifests(JOBS.layout.backbones / name for name in ("llm", "qformer"))


def instruction_data(wildcards):
    return data_of(JOBS.run(wildcards.run).instruction.datasets)


def instruction_features(wildcards):
    return features_of(JOBS.training_shards(wildcards.run, "instruction"))


def answering_model(wildcards):
    return checkpoints_of([(wildcards.run, wildcards.seed)])


def benchmark_data(wildcards):
    return data_of(JOBS.benchmarks(wildcards.run))


def benchmark_features(wildcards):
    return features_of(JOBS.benchmark_shards(wildcards.run))


def answers_of(wildcards):
    total = JOBS.run(wildcards.run).evaluation.shards
    return manifests(JOBS.layout.answers(wildcards.run, wildcards.seed, shard, total) for shard in range(total))


def item_notebook(wildcards):
    return f"notebooks/{JOBS.item(wildcards.item).notebook}"


def item_inputs(wildcards):
    """Everything that the page of an item is made from."""
    item = wildcards.item
    clip = [JOBS.layout.backbones / "clip"] if "clip" in JOBS.item(item).reads else []
    return [
        *scores_of(JOBS.item_evaluations(item)),
        *alignments_of(JOBS.item_alignments(item)),
        *checkpoints_of(JOBS.item_checkpoints(item)),
        *data_of(JOBS.item_datasets(item)),
        *features_of(JOBS.item_shards(item)),
        *manifests(clip),
    ]


# The settings that a job depends on; it runs again when they change.


def step_settings(step):
    return JOBS.settings(step)


def alignment_settings(wildcards):
    run, _ = JOBS.alignment(wildcards.key)
    return JOBS.run_settings(run, "train_alignment")


def instruction_settings(wildcards):
    return JOBS.run_settings(wildcards.run, "train_instruction")


def answer_settings(wildcards):
    return JOBS.run_settings(wildcards.run, "answer_questions")


def model_settings(wildcards):
    return JOBS.model_settings(wildcards.run)


def judge_settings(wildcards):
    return JOBS.run_settings(wildcards.run, "judge_answers")


def score_settings(wildcards):
    return JOBS.run_settings(wildcards.run, "score_answers")


def run_benchmarks(wildcards):
    return JOBS.benchmarks(wildcards.run)


def alignment_runs(wildcards, input):
    """For the message; a parameter that takes `input` starts no job when it changes, as when a run joins."""
    return ", ".join(JOBS.alignment_runs(wildcards.key))


def claim_scores(wildcards):
    from dynfocus.reporting.claims import carried_evidence, missing_evaluations

    return [*scores_of(missing_evaluations(JOBS)), *carried_evidence(JOBS)]


def claim_parameters(wildcards):
    return {"profile": JOBS.config.profile, "seeds": JOBS.config.claim_seeds}


def item_settings(wildcards):
    return JOBS.item_settings(wildcards.item)


# Before the first job and after the last one.


def begin():
    """Stop where this machine lacks the GPUs or another run is active; else fix the configuration of this run."""
    global LOCK
    try:
        if workflow.local_exec:
            require_gpus(JOBS.config, TRAINING_GPUS // NODES)
        LOCK = acquire(Path(".snakemake/run.lock"), "a run in this folder")
    except UserError as error:
        stop(error)
    JOBS.write_resolved()
    print(*cost_lines(JOBS, [JOBS.config.start_from]), sep="\n", file=sys.stderr)


def print_summary():
    """The headline table and the path of the report."""
    if JOBS.layout.report.is_file():
        from dynfocus.reporting.headline import headline

        print(f"\n{headline(JOBS.config, JOBS.layout.root)}\nReport: {JOBS.layout.report.resolve()}")
