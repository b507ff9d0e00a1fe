"""Can this machine run a profile? One check after the other, each with its remedy: `dynfocus doctor`.

    ok          nothing to do
    warning     it will run, but slowly, or not all of it
    blocking    it cannot run; the exit status is 1

Keys are looked for, never printed or sent anywhere but to the server that they belong to.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.config.schema import Config, Judge
from dynfocus.machine.gpus import scheduler
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import PrepareData, RenderReport, is_done, needed

if TYPE_CHECKING:
    from rich.table import Table

GB = 1e9
SMALLEST_SHARED_MEMORY = 1.0
HUB = "https://huggingface.co"
# CUDA builds of torch and the oldest driver of each, from NVIDIA's release notes.
OLDEST_DRIVER = {"cu130": 580, "cu129": 575, "cu128": 570, "cu126": 560}
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4")
TIMEOUT = 5.0


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    BLOCKING = "blocking"


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, what was found, and what to do where it is not ok."""

    name: str
    state: State
    found: str
    remedy: str = ""


def examine(jobs: Jobs, environment: Mapping[str, str], offline: bool = False) -> list[Check]:
    """All checks of a profile on this machine; `offline` leaves out those that ask a server."""
    checks = [
        *check_gpus(jobs.config),
        check_disk(jobs),
        check_locks(Path(jobs.config.root)),
        check_memory(jobs.config),
        check_shared_memory(jobs.config),
        check_decoders(),
        *(check_judge_key(name, judge, environment) for name, judge in judges(jobs.config).items()),
        *check_sets(jobs, environment, offline),
    ]
    return checks if offline else [*checks, *check_network(jobs.config, environment)]


def blocked(checks: Iterable[Check]) -> bool:
    """Whether the profile cannot run."""
    return any(check.state is State.BLOCKING for check in checks)


def check_gpus(config: Config) -> Iterator[Check]:
    """Number of GPUs and the driver, where the profile runs on GPUs."""
    if config.hardware.device == "cpu":
        yield Check("GPUs", State.OK, "none needed: this profile runs on the CPU")
        return
    cards = list_gpus()
    needed = config.hardware.gpus // config.hardware.nodes
    if not cards:
        remedy = "install the NVIDIA driver, use config/mini.yaml, or run where the GPUs are (workflow/profiles)"
        yield Check("GPUs", State.BLOCKING, "none found (nvidia-smi)", remedy)
        return
    names = ", ".join(sorted({card["name"] for card in cards}))
    if len(cards) < needed:
        remedy = f"--config hardware='{{gpus: {len(cards)}, processes: {len(cards)}}}': the global batch stays the same"
        yield Check("GPUs", State.BLOCKING, f"{len(cards)} ({names}), training asks for {needed}", remedy)
    else:
        yield Check("GPUs", State.OK, f"{len(cards)} ({names})")
    yield check_driver(cards[0]["driver"], importlib.metadata.version("torch"))


def check_driver(driver: str, torch_version: str) -> Check:
    """Whether the driver is new enough for the CUDA build of torch."""
    build = torch_version.partition("+")[2]
    oldest, major = OLDEST_DRIVER.get(build), driver.partition(".")[0]
    if oldest is None or not major.isdigit() or int(major) >= oldest:
        return Check("driver", State.OK, f"{driver}, torch {torch_version}")
    remedy = f"update the driver to {oldest} or newer, or install a torch built for an older CUDA"
    return Check("driver", State.BLOCKING, f"{driver}, but torch {torch_version} needs {oldest}", remedy)


def check_disk(jobs: Jobs) -> Check:
    """Free space below the profile's root against what the plan still has to write."""
    from dynfocus.planning.plan import disk_needed

    where = _existing(Path(jobs.config.root))
    free, needed = shutil.disk_usage(where).free / GB, disk_needed(jobs)
    found = f"{free:,.0f} GB free at {jobs.config.root}, about {needed:,.1f} GB needed"
    if free >= needed:
        return Check("disk", State.OK, found)
    remedy = "set `root` to a larger disk, or choose fewer items, runs or benchmarks"
    return Check("disk", State.BLOCKING, found, remedy)


def check_locks(root: Path) -> Check:
    """Whether files below the root can be written and locked, as some network file systems do not allow."""
    try:
        with tempfile.TemporaryFile(dir=_existing(root)) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        remedy = "put `root` and this repository on a file system with flock (NFS 4, Lustre mounted with -o flock)"
        return Check("file locks", State.BLOCKING, f"{root}: {error.strerror}", remedy)
    return Check("file locks", State.OK, f"work in {_existing(root)}")


def check_memory(config: Config) -> Check:
    """Main memory against the weights that every process of a node loads."""
    from dynfocus.planning.models import model_size
    from dynfocus.planning.work import BYTES

    hardware = config.hardware
    weights = model_size(config, config.instruction).parameters * BYTES[config.instruction.precision] / GB
    needed = 2 + weights * hardware.processes / hardware.nodes
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    found = f"{present:,.0f} GB, loading the weights takes about {needed:,.0f} GB"
    if present >= needed:
        return Check("memory", State.OK, found)
    return Check("memory", State.WARNING, found, "fewer hardware.processes a node, or a machine with more memory")


def check_shared_memory(config: Config, folder: Path = Path("/dev/shm")) -> Check:
    """Room in /dev/shm, through which loader processes hand over batches."""
    if config.hardware.device == "cpu" or not folder.is_dir():
        return Check("shared memory", State.OK, "not used by this profile")
    from dynfocus.planning.work import batches_in_flight

    free, needed = shutil.disk_usage(folder).free / GB, max(SMALLEST_SHARED_MEMORY, batches_in_flight(config))
    found = f"{free:,.1f} GB free at {folder}, about {needed:,.0f} GB of batches in flight"
    if free >= needed:
        return Check("shared memory", State.OK, found)
    remedy = (
        f"in a container: --shm-size={needed:.0f}g (Docker), or an emptyDir of medium Memory at /dev/shm (Kubernetes); "
        "else fewer hardware.threads, which are as many loaders"
    )
    return Check("shared memory", State.WARNING, found, remedy)


def check_decoders() -> Check:
    """PyAV and the decoders of the usual films; the ffmpeg program is not needed."""
    try:
        import av
    except ImportError as error:
        return Check("video decoding", State.BLOCKING, f"PyAV: {error}", "make environment")
    missing = [name for name in DECODERS if name not in av.codecs_available]
    ffmpeg = ", ".join(f"{name} {'.'.join(map(str, part))}" for name, part in sorted(av.library_versions.items())[:1])
    if missing:
        remedy = "install PyAV from its wheel, which carries FFmpeg: pip install --force-reinstall --only-binary=av av"
        return Check("video decoding", State.WARNING, f"PyAV {av.__version__} lacks {', '.join(missing)}", remedy)
    return Check("video decoding", State.OK, f"PyAV {av.__version__} ({ffmpeg})")


def judges(config: Config) -> dict[str, Judge]:
    """The judges of a profile by the names of their checks."""
    found = {"judge": config.evaluation.judge, "second judge": config.evaluation.second_judge}
    return {name: judge for name, judge in found.items() if judge is not None}


def check_judge_key(name: str, judge: Judge, environment: Mapping[str, str]) -> Check:
    """The key of a judge's server, where a server judges."""
    if judge.kind != "openai":
        return Check(name, State.OK, f"{judge.kind}: no key needed")
    if not judge.api_key_env:
        return Check(name, State.OK, f"{judge.model}, a server without keys")
    if environment.get(judge.api_key_env):
        return Check(name, State.OK, f"{judge.model}, key found in {judge.api_key_env}")
    setting = f"evaluation.{name.replace(' ', '_')}.kind"
    remedy = f"export {judge.api_key_env}=..., or set {setting} to rule or replay"
    return Check(name, State.BLOCKING, f"{judge.model}: {judge.api_key_env} is not set", remedy)


def check_sets(jobs: Jobs, environment: Mapping[str, str], offline: bool) -> Iterator[Check]:
    """Sets of the ledger that do not download by themselves, and access to the gated ones."""
    if jobs.config.source != "ledger":
        yield Check("data sets", State.OK, "generated: nothing to download")
        return
    from dynfocus.ledger.entries import load_ledger

    ledger = load_ledger(Path(jobs.config.ledger))
    steps = [step for step in needed(jobs, [RenderReport()]) if isinstance(step, PrepareData)]
    for step in steps:
        name, entry = step.set, ledger.sets[step.set]
        if is_done(jobs, step) or entry.status == "open":
            continue
        title = f"set {name}"
        if entry.status == "gated":
            repos = {(part.source.repo, part.source.type) for part in entry.parts if part.source.kind == "hub"}
            for repo, kind in sorted(repos):
                yield Check(title, *hub_access(repo, kind, environment, offline))
        else:
            remedy = f"`dynfocus prepare-data --dataset {name}` says what to fetch and where to put it: {entry.home}"
            yield Check(title, State.BLOCKING, f"{entry.status}: not in {jobs.layout.data / name}", remedy)


def hub_access(repo: str, kind: str, environment: Mapping[str, str], offline: bool) -> tuple[State, str, str]:
    """Whether the token in `HF_TOKEN`, or that of `hf auth login`, opens a gated repository."""
    from huggingface_hub import get_token

    hub = environment.get("HF_ENDPOINT", HUB).rstrip("/")
    page = f"{hub}/{'datasets/' if kind == 'dataset' else ''}{repo}"
    token = environment.get("HF_TOKEN") or get_token()
    accept = f"accept the licence at {page}, make a token at {hub}/settings/tokens, and `hf auth login`"
    if not token:
        return State.BLOCKING, f"{repo} is gated, no HF_TOKEN is set and nobody is logged in", accept
    if offline:
        return State.WARNING, f"{repo} is gated; there is a token, access not tried", "run without --offline"
    import httpx

    try:
        answer = httpx.get(
            f"{hub}/api/{kind}s/{repo}/auth-check", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT
        )
    except httpx.HTTPError as error:
        return State.WARNING, f"{repo}: {type(error).__name__}", "see the network check"
    if answer.is_success:
        return State.OK, f"{repo} opens with the token of this machine", ""
    return State.BLOCKING, f"{repo} refuses the token of this machine ({answer.status_code})", accept


def check_network(config: Config, environment: Mapping[str, str]) -> Iterator[Check]:
    """Servers that the profile fetches from or asks; any answer will do."""
    servers = {}
    if config.source == "ledger" or config.backbones.llm.source == "hub":
        servers["hub"] = environment.get("HF_ENDPOINT", HUB)
    for name, judge in judges(config).items():
        if judge.kind == "openai":
            servers[name] = judge.address or judge.base_url
    if not servers:
        yield Check("network", State.OK, "not needed by this profile")
    for name, url in servers.items():
        yield check_server(name, url)


def check_server(name: str, url: str) -> Check:
    """Whether a server answers at all."""
    import httpx

    try:
        httpx.head(url, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        remedy = "check the connection and HTTPS_PROXY; on a cluster fetch on a login node (workflow/profiles/slurm)"
        return Check(f"network: {name}", State.WARNING, f"{url}: {type(error).__name__}", remedy)
    return Check(f"network: {name}", State.OK, f"{url} answers")


def list_gpus() -> list[dict[str, str]]:
    """Name, memory and driver of every GPU, from nvidia-smi."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    rows = [line.split(", ") for line in done.stdout.splitlines() if done.returncode == 0]
    return [dict(zip(("name", "memory", "driver"), row, strict=True)) for row in rows if len(row) == 3]


def table(checks: Iterable[Check], profile: str) -> Table:
    """The findings as a table."""
    from rich.table import Table

    where = f" under {scheduler()}" if scheduler() else ""
    shown = Table(title=f"Profile {profile} on this machine{where}", title_justify="left", header_style="bold")
    for column in ("check", "state", "found", "remedy"):
        shown.add_column(column, overflow="fold")
    colours = {State.OK: "green", State.WARNING: "yellow", State.BLOCKING: "red"}
    for check in checks:
        shown.add_row(check.name, f"[{colours[check.state]}]{check.state}[/]", check.found, check.remedy)
    return shown


def _existing(path: Path) -> Path:
    """The nearest folder on the way to `path` that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
