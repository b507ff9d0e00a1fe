# The configuration of this run and the functions that rules call; no rules here. What a step reads, depends on and
# asks for stands in src/dynfocus/steps/table.py: a rule says where its output is and which command makes it.
import os
import sys
from pathlib import Path

from dynfocus.artefacts.cache import decide_all, require_no_training
from dynfocus.artefacts.pull import adopt_pulled
from dynfocus.config.load import load_config, overrides_of
from dynfocus.errors import UserError
from dynfocus.machine.gpus import check_offer, require_gpus
from dynfocus.machine.locks import acquire
from dynfocus.planning.costs import run_lines
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import STEPS


def stop(error):
    """End the run with one line, without a traceback."""
    sys.exit(f"dynfocus: {error}")


try:
    if not os.access(Path.cwd(), os.W_OK):
        raise UserError(f"{Path.cwd()}: cannot be written, and Snakemake keeps its notes there; work in a copy of it")
    JOBS = Jobs.load(load_config(workflow.configfiles, list(overrides_of(workflow.config_settings.config))))
    DECISION = decide_all(JOBS)
    require_no_training(JOBS, DECISION)
except UserError as error:
    stop(error)

# Written before the first job; commands read this copy, so an edit during a run changes nothing.
RESOLVED = str(JOBS.layout.config)
# Published results that take the place of jobs at this run's `start_from`.
PULLED = [str(path) for step in DECISION.pulled for path in step.outputs(JOBS)]
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


# What the table of steps says about a job. A manifest stands for the folder or the large file that it describes.


def inputs_of(rule):
    """The files that a job reads, for `input`."""

    def paths(wildcards):
        step = STEPS[rule].of(wildcards)
        made = [path for before in step.inputs(JOBS) for path in before.outputs(JOBS)]
        return list(dict.fromkeys(map(str, [*step.files(JOBS), *made])))

    return paths


def settings_of(rule):
    """The settings that a job depends on; it runs again when they change."""

    def settings(wildcards):
        return STEPS[rule].of(wildcards).settings(JOBS)

    return settings


def threads_of(rule):
    def threads(wildcards):
        return STEPS[rule].of(wildcards).threads(JOBS)

    return threads


def gpus_of(rule):
    def gpus(wildcards):
        return STEPS[rule].of(wildcards).gpus(JOBS)

    return gpus


def alignment_runs(wildcards, input):
    """For the message; a parameter that takes `input` starts no job when it changes, as when a run joins."""
    return ", ".join(JOBS.alignment_runs(wildcards.key))


# Before the first job and after the last one.


def begin():
    """Stop where this machine lacks the GPUs, another run is active or the root cannot be written; else fix the
    configuration of this run."""
    global LOCK
    try:
        if workflow.local_exec:
            require_gpus(JOBS.config, TRAINING_GPUS // NODES)
        LOCK = acquire(JOBS.layout.run_lock, "a run in this folder")
        JOBS.write_resolved()
        adopt_pulled(JOBS)
        print(*run_lines(JOBS), sep="\n", file=sys.stderr)
    except UserError as error:
        stop(error)


def print_summary():
    """The headline table and the path of the report."""
    if JOBS.layout.report.is_file():
        from dynfocus.reporting.headline import headline

        print(f"\n{headline(JOBS.config, JOBS.layout.root)}\nReport: {JOBS.layout.report.resolve()}")
