"""Train one stage of the toy world as its own process: `run_stage.py ROOT STAGE OUT CHANGES [RANK STEP [WHERE]]`.

CHANGES: JSON of stage settings, and `processes`; `shared_draws` makes the Gaussian draws of Top-K independent of how a
batch is split. The process of RANK kills itself (-9) at STEP, at the `step` or while it is about to mark its
checkpoint (`save`), and leaves `OUT.killed` behind.
"""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from real_network import NETWORK, share_draws
from toy_network import toy_config

from dynfocus.training import callbacks
from dynfocus.training.stage import train_stage


def kill_at(rank: int, step: int, where: str, mark: Path) -> None:
    owner, name = (callbacks.CompleteMarker, "on_save") if where == "save" else (callbacks.LiveLine, "on_log")
    original = getattr(owner, name)

    def wrapped(self, args, state, control, **kwargs):
        if state.global_step == step and int(os.environ["RANK"]) == rank:
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, args, state, control, **kwargs)

    setattr(owner, name, wrapped)


def main() -> None:
    root, stage, out, changes = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
    if changes.pop("shared_draws", False):
        share_draws(pytest.MonkeyPatch())
    if len(sys.argv) > 5:
        kill_at(int(sys.argv[5]), int(sys.argv[6]), sys.argv[7], out.with_suffix(".killed"))
    config = toy_config(root, network=NETWORK, **changes)
    init, work = root / "backbones", root / "work" / out.name
    train_stage(config, "dynfocus", stage, 0, root / "data", root / "features", init, out, work)


if __name__ == "__main__":
    main()
