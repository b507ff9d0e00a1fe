"""Hugging Face's Trainer with this project's sampler, loss and log."""

from __future__ import annotations

import math
import resource
import time
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Trainer

from dynfocus.errors import UserError
from dynfocus.prompts import IGNORE
from dynfocus.training.data import EpochSampler
from dynfocus.training.memory import weights_in

if TYPE_CHECKING:
    from dynfocus.training.live import LiveEncoder

GIB = 2**30


class StageTrainer(Trainer):
    """Trainer of one stage.

    * Samples come in the order of an `EpochSampler`.
    * The loss is the mean over all answer tokens of the global batch, however the batch is divided.
    * Every log entry carries cumulative `samples` and `tokens` (LLM tokens, padding not counted), `seconds` and
      `tokens_per_second` of the step, `peak_memory_gib` of the main process (device memory on cuda), and `mfu` where
      the peak rate is known.
    """

    def __init__(
        self,
        *args: Any,
        order: EpochSampler,
        encoder: LiveEncoder | None = None,
        peak_flops: float | None = None,
        **kwargs: Any,
    ) -> None:
        """`order` of the samples; `encoder`: of media that come as pixels; `peak_flops` a second of all devices."""
        kwargs["compute_loss_func"] = mean_answer_loss
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False
        self.order = order
        self.encoder = encoder
        self.peak_flops = peak_flops
        self._noted: dict[str, float] = {}
        self._step_tokens = 0
        self._step_start: float | None = None
        network: Any = self.model
        connector = [name for part in ("projectors", "dpe_cce") for name in network.parts()[part]]
        parameters = dict(network.named_parameters())
        self._connector = [parameters[name] for name in connector if parameters[name].requires_grad]

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return self.order

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Loss of a micro batch; every connector parameter takes part in it.

        A batch of images or of text leaves parts of the connector unused. A zero gradient for them keeps the gradient
        reductions of all processes alike, and the optimizer's moments the same for any number of processes.
        """
        if self._step_start is None:
            self._step_start = time.perf_counter()
        self._step_tokens += int(inputs["attention_mask"].sum())
        inputs = inputs if self.encoder is None else self.encoder(inputs)
        loss, outputs = super().compute_loss(model, answers_alone(inputs), True, num_items_in_batch)
        loss = loss + 0.0 * sum(parameter.sum() for parameter in self._connector)
        return (loss, outputs) if return_outputs else loss

    def ready(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of the collator as the model takes it: on the device, its media as features."""
        inputs = self._prepare_inputs(batch)
        return inputs if self.encoder is None else self.encoder(inputs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise UserError(
                    f"the loss is {logs['loss']} at step {self.state.global_step}; lower learning_rate, or look at "
                    f"the last entries of {self.args.output_dir}/tensorboard"
                )
            logs |= self._progress() | self._noted
            self._noted = {}
        super().log(logs, start_time)

    def note(self, values: dict[str, float], seconds: float) -> None:
        """Values for the log entry of the step at hand, and the seconds that they took beside the training."""
        self._noted |= values
        if self._step_start is not None:
            self._step_start += seconds

    def _progress(self) -> dict[str, float]:
        """Counts and rates of the step that ends now, over all processes."""
        now = time.perf_counter()
        seconds, self._step_start = now - (self._step_start or now), now
        tokens, self._step_tokens = self._over_processes(self._step_tokens), 0
        before = next((entry["tokens"] for entry in reversed(self.state.log_history) if "tokens" in entry), 0)
        used = {}
        if self.peak_flops is not None:
            used["mfu"] = round(tokens / seconds * flops_per_token(self.model) / self.peak_flops, 4)
        return used | {
            "samples": self.state.global_step * self.order.global_batch,
            "tokens": before + tokens,
            "tokens_per_second": round(tokens / seconds, 1),
            "seconds": round(seconds, 4),
            "peak_memory_gib": round(peak_memory() / GIB, 3),
        }

    def _over_processes(self, value: int) -> int:
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return value
        total = torch.tensor(value, device=self.args.device)
        dist.all_reduce(total)
        return int(total)


def flops_per_token(model: Any) -> float:
    """Work of the LLM on a token of training (Chowdhery et al. 2022, B), without what checkpointing computes again.

    Two operations a parameter in the forward pass and two for the gradient that passes on to the connector; where the
    LLM's weights learn, two more. The tables of words, which are looked up, and the text encoder do not count.
    """
    llm = model.language_model
    tables = {id(weight) for weight in (llm.get_input_embeddings().weight, llm.get_output_embeddings().weight)}
    inside = [weight for weight in llm.parameters() if id(weight) not in tables]
    return sum((6 if weight.requires_grad else 4) * weights_in(weight) for weight in inside)


def answers_alone(inputs: dict[str, Tensor]) -> dict[str, Any]:
    """A batch whose logits are made only at the positions before an answer token of any sample, not at visual tokens.

    `labels` become (B, A), the token that follows each of these positions. Padding is on the right, behind every
    answer, so causal attention needs no mask.
    """
    targets = inputs["labels"][:, 1:]
    answers = (targets != IGNORE).any(0).nonzero()[:, 0]
    return inputs | {"labels": targets[:, answers], "logits_to_keep": answers, "attention_mask": None}


def mean_answer_loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Cross-entropy, summed over answer tokens and divided by their number in the global batch.

    Args:
        outputs: of the network, `logits` (B, A, vocabulary).
        labels: (B, A), the token that follows each position, `IGNORE` outside the answers.
        num_items_in_batch: answer tokens of the whole optimizer step; None: those of `labels`.
    """
    chosen = labels != IGNORE
    total = cross_entropy(outputs.logits[chosen].float(), labels[chosen], reduction="sum")
    count = chosen.sum() if num_items_in_batch is None else num_items_in_batch
    return total / torch.as_tensor(count, device=total.device).clamp(min=1)


def peak_memory() -> int:
    """Highest memory use so far in bytes: of the device on cuda, of the process elsewhere."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
