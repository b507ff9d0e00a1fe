"""Train one toy stage as its own process: `run_toy_stage.py ROOT STAGE OUT CHANGES [KILL_RANK KILL_STEP [WHERE]]`.

CHANGES: JSON of stage settings, and `processes`. The process of KILL_RANK kills itself (-9) at KILL_STEP, at the `step`
or while it is about to mark its checkpoint (`save`).
"""

import json
import os
import signal
import sys
from pathlib import Path

from toy_network import ToyNetwork, modules, toy_config


def kill_at(rank: int, step: int, where: str) -> None:
    from dynfocus.training import callbacks

    def die(state):
        if state.global_step == step and int(os.environ["RANK"]) == rank:
            os.kill(os.getpid(), signal.SIGKILL)

    owner, name = (callbacks.CompleteMarker, "on_save") if where == "save" else (callbacks.LiveLine, "on_log")
    original = getattr(owner, name)

    def wrapped(self, args, state, control, **kwargs):
        die(state)
        original(self, args, state, control, **kwargs)

    setattr(owner, name, wrapped)


def main() -> None:
    sys.modules |= modules()
    root, stage, out, changes = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
    ToyNetwork.noise = changes.pop("noise", ToyNetwork.noise)
    if len(sys.argv) > 5:
        kill_at(int(sys.argv[5]), int(sys.argv[6]), sys.argv[7] if len(sys.argv) > 7 else "step")
    from dynfocus.training.stage import train_stage

    init = root / "alignment" if (root / "alignment").exists() and stage == "instruction" else root / "backbones"
    config = toy_config(root, **changes)
    train_stage(config, "toy", stage, 0, root / "data", root / "features", init, out, root / "work" / out.name)


if __name__ == "__main__":
    main()
