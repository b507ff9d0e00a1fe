"""One measurement a report item: what it shows besides scores, as one JSON file that its notebook reads.

An item of `config/experiments.yaml` names a module of this room in `measures`; its `measure(jobs, item)` returns
plain values. What cannot be measured stands there with its reason, so that the notebook shows a gap.
"""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from dynfocus.errors import UserError
from dynfocus.files import write_json
from dynfocus.steps.jobs import Jobs


def measure(jobs: Jobs, item: str, out: Path) -> None:
    """Measure what an item asks for and write it to `out`.

    Raises:
        UserError: there is no such measurement.
    """
    name = f"{__package__}.{jobs.item(item).measures}"
    if find_spec(name) is None:
        known = sorted(file.stem for file in Path(__file__).parent.glob("*.py"))
        raise UserError(f"items.{item}.measures: no module {name}; there are {', '.join(known)}")
    values = {
        "item": item,
        "device": device_name(jobs.config.hardware.device),
        **import_module(name).measure(jobs, item),
    }
    write_json(out, values, indent=None)


def device_name(device: str) -> str:
    """The device that models run on, as a reader knows it."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' * (threads != 1)} of a {platform.machine()} CPU"
