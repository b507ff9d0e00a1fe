"""A stored loss curve and stored logits of a toy network: a change of the method shows, whatever it was meant to be.

Equal to the last bit on the platform that stored them, to a tolerance elsewhere. After a change that is meant:

    python tests/network/test_stored_curve.py
"""

import json
import platform
from pathlib import Path

import pytest
import torch
from toy import toy_batch, toy_model, toy_samples

STORED = Path(__file__).with_name("stored_curve.json")
STEPS = 12
ENCODERS = ("dynfocus", "two_token", "llama_vid", "flash_vstream", "chat_univi")


def this_platform() -> dict[str, str]:
    """All that may decide the last bit."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    told = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    words = {name.strip(): value.strip() for name, value in told.items()}
    kind = [words.get(name, "") for name in ("model name", "cpu family", "model", "stepping")]
    return {
        "torch": torch.__version__,
        "processor": " ".join(kind).strip() or platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def trained(encoder: str) -> dict[str, list[float]]:
    """Losses of a few steps on three samples, and a few logits of the trained model."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = toy_model(encoder=encoder).train()
    batch = toy_batch(model, toy_samples())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(STEPS):
        loss = model(**batch, labels=batch["input_ids"]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        logits = model.eval()(**batch).logits[:, -1, :8]
    return {"losses": losses, "logits": logits.flatten().tolist()}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_training_gives_the_stored_losses_and_logits(encoder):
    stored = json.loads(STORED.read_text())
    made, expected = trained(encoder), stored["runs"][encoder]
    assert expected["losses"][-1] < expected["losses"][0] - 0.05
    if this_platform() == stored["platform"]:
        assert made == expected
    torch.testing.assert_close(made["losses"], expected["losses"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(made["logits"], expected["logits"], rtol=2e-2, atol=2e-2)


if __name__ == "__main__":
    found = {"platform": this_platform(), "runs": {encoder: trained(encoder) for encoder in ENCODERS}}
    STORED.write_text(json.dumps(found, indent=1) + "\n")
