"""The kernels as their authors published them, run from checkouts that the user names; none of their code lies here.

Classes and functions are taken out of a file one by one, so that what else it imports need not be installed.
`measure_kernels.py` times them beside the network's own. They choose by the rules of their authors (an item is its own
neighbour, random ties, equal weights), so their results differ and only the work is compared.
"""

from __future__ import annotations

import ast
import math
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.errors import UserError

FILES = {
    "dynfocus": ("Simon98-AI/DynFocus", "llamavid/model/language_model/llava_llama_vid.py"),
    "chat_univi": ("PKU-YuanGroup/Chat-UniVi", "ChatUniVi/model/cluster.py"),
    "flash_vstream": ("IVGSZ/Flash-VStream", "Flash-VStream-LLaVA/flash_vstream/model/compress_functions.py"),
}
"""Option -> the repository to check out, and the file in it."""
Kernel = Callable[..., Callable[[], object]]


def definitions(file: Path, *names: str) -> dict[str, Any]:
    """Functions and classes of a Python file by name, without running the rest of it. Raises UserError without one."""
    wanted = [
        node
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names
    ]
    if missing := set(names) - {node.name for node in wanted}:
        raise UserError(f"{file}: no {min(missing)}; its revision differs from the one that this program knows")
    space = {"torch": torch, "nn": nn, "F": F, "math": math, "random": random}
    annotations = ast.parse("from __future__ import annotations").body
    exec(compile(ast.Module([*annotations, *wanted], []), str(file), "exec"), space)
    return {name: space[name] for name in names}


@dataclass(frozen=True)
class PublicCode:
    """Folders of checkouts; each method gives a call to time, or None where its checkout was not named."""

    dynfocus: Path | None = None
    chat_univi: Path | None = None
    flash_vstream: Path | None = None

    def __bool__(self) -> bool:
        return any(folder is not None for folder in (self.dynfocus, self.chat_univi, self.flash_vstream))

    def commits(self) -> dict[str, str]:
        """The commit of every checkout that was named, by its option."""
        named = {name: folder for name in FILES if (folder := getattr(self, name)) is not None}
        command = ("git", "rev-parse", "--short=10", "HEAD")
        return {
            name: subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip() or "of no commit"
            for name, folder in named.items()
        }

    def take(self, repository: str, *names: str) -> dict[str, Any] | None:
        """Definitions from a checkout; None without it. Raises UserError where the folder is not a checkout of it."""
        folder = getattr(self, repository)
        if folder is None:
            return None
        what, file = FILES[repository]
        if not (folder / file).is_file():
            raise UserError(f"--{repository.replace('_', '-')} {folder}: no {file}; give a checkout of {what}")
        return definitions(folder / file, *names)

    def events(self, flat: Tensor, clusters: int, neighbours: int) -> Callable[[], object] | None:
        """Chat-UniVi's DPC-KNN and merging of frames (T, P·d)."""
        code = self.take("chat_univi", "index_points", "cluster_dpc_knn", "merge_tokens")
        if code is None:
            return None
        place = torch.arange(len(flat), device=flat.device)[None]
        tokens = {"x": flat[None], "idx_token": place, "agg_weight": flat.new_ones(1, len(flat), 1)}

        def call() -> object:
            labels, count = code["cluster_dpc_knn"](tokens, clusters, neighbours)
            return code["merge_tokens"](tokens, labels, count)

        return call

    def objects(self, features: Tensor) -> Callable[[], object] | None:
        """DynFocus's merging of the patches (T, N, 1408) of every frame in two levels."""
        code = self.take("dynfocus", "Merger")
        if code is None:
            return None
        merger = code["Merger"]().to(features.device).eval().half()
        return torch.no_grad()(lambda: merger(features))

    def kmeans(self, pooled: Tensor, clusters: int) -> Callable[[], object] | None:
        """Flash-VStream's weighted K-means of pooled frames (T, P, d); at most 10 iterations, ours at most 20."""
        code = self.take("flash_vstream", "weighted_kmeans_feature")
        return code and (lambda: code["weighted_kmeans_feature"](pooled, clusters))

    def topk(self, scores: Tensor, grad: Tensor, draws: int, sigma: float) -> Callable[[], object] | None:
        """DynFocus's perturbed Top-K of scores (L,), forward and backward under a gradient (K, L)."""
        code = self.take("dynfocus", "PerturbedTopKFunction")
        if code is None:
            return None

        def call() -> Tensor:
            leaf = scores[None].clone().requires_grad_()
            code["PerturbedTopKFunction"].apply(leaf, grad.shape[0], draws, sigma).backward(grad[None])
            return leaf.grad

        return call

    def scores(self, prototypes: Tensor) -> Callable[[], object] | None:
        """DynFocus's scores of event prototypes (V, L, P, d)."""
        code = self.take("dynfocus", "PredictorLG", "min_max_norm")
        if code is None:
            return None
        unit = code["PredictorLG"](embed_dim=2 * prototypes.shape[3]).to(prototypes.device).eval()

        def call() -> Tensor:
            summary = torch.cat([prototypes.mean(2), prototypes.amax(2)], dim=2)
            return code["min_max_norm"](unit(summary)[:, :, 0])

        return torch.no_grad()(call)
