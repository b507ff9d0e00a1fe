"""A configuration for evaluation, and an answerer without a model."""

from __future__ import annotations

from dynfocus.config.schema import Config, Evaluation, Hardware, Judge, Stage
from dynfocus.evaluation.answerers.base import Reply, VideoProblem


def make_config(**evaluation) -> Config:
    """A configuration on the CPU; keyword arguments are settings of its evaluation."""
    stage = Stage(
        datasets=["scienceqa"],
        trainable=["projectors"],
        global_batch=1,
        micro_batch=1,
        learning_rate=1e-3,
        zero_stage=0,
        precision="fp32",
    )
    settings = {"judge": Judge(kind="rule"), "bootstrap": 200, **evaluation}
    return Config(
        profile="test",
        root="unused",
        alignment=stage,
        instruction=stage,
        evaluation=Evaluation(**settings),
        hardware=Hardware(device="cpu", gpus=0, processes=1, threads=1),
    )


class Scripted:
    """An answerer that looks replies up by question id; `broken` maps a video to its problem."""

    def __init__(self, replies, broken=None):
        self.replies = replies
        self.broken = broken or {}
        self.batches = []

    def load(self, question):
        if question.video in self.broken:
            raise VideoProblem(self.broken[question.video], "as the test wants")
        return question.video

    def answer(self, requests):
        assert all(request.video == request.question.video for request in requests)
        self.batches.append([request.question.question_id for request in requests])
        return [Reply(self.replies(request.question)) for request in requests]
