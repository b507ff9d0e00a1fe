"""Table 4: seconds per answer of LLaMA-VID, Flash-VStream and DynFocus, measured on this machine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence

from scipy import stats

from dynfocus.errors import UserError
from dynfocus.evaluation.answer import Answerer, Request, VideoProblem
from dynfocus.evaluation.questions import Question
from dynfocus.reporting.checkpoints import answerer_of, questions_by_video
from dynfocus.reporting.register import cells_of
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Row, Table
from dynfocus.reporting.verdicts import Verdict

QUESTIONS = 6
"""Questions timed per run and benchmark, one of each of the first videos."""


def sample_questions(session: Session, name: str) -> list[Question]:
    """The first question of each of the first videos of a benchmark."""
    return [questions[0] for questions in questions_by_video(session, name).values()][:QUESTIONS]


def time_answers(answerer: Answerer, questions: Sequence[Question]) -> list[float]:
    """Seconds from cached features to the finished answer, one question at a time; the first one warms up.

    A video that cannot be shown is left out.
    """
    seconds = []
    for question in [questions[0], *questions]:
        started = time.perf_counter()
        try:
            answerer.answer([Request(question, answerer.load(question))])
        except VideoProblem:
            continue
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def latency_cell(paper: Comparison, seconds: Sequence[float]) -> Comparison:
    """Mean with Student's t interval over the questions."""
    mean = statistics.fmean(seconds)
    half = 0.0
    if len(seconds) > 1:
        error = statistics.stdev(seconds) / math.sqrt(len(seconds))
        half = float(stats.t.ppf(0.975, len(seconds) - 1)) * error
    ours = {"ours": mean, "low": mean - half, "high": mean + half, "questions": len(seconds), "decimals": 3}
    return paper.model_copy(update={**ours, "verdict": Verdict.OTHER_SCALE.value})


def latency_table(session: Session, where: str) -> Table:
    """Table 4 with our latencies; a run or benchmark that is not there is a gap."""
    cells = [cell for cell in cells_of("table_4") if cell.metric == "latency"]
    questions = {name: found_questions(session, name) for name in dict.fromkeys(cell.benchmark for cell in cells)}
    rows = []
    for label in dict.fromkeys(cell.row for cell in cells):
        own = [cell for cell in cells if cell.row == label]
        answerer = found_answerer(session, own[0].run)
        built: list[Comparison | str] = []
        for cell in own:
            paper = Comparison(
                paper=cell.number, paper_text=cell.value, unit="s", decimals=cell.decimals, cell_id=cell.id
            )
            asked = questions[cell.benchmark]
            missing = [reason for reason in (asked, answerer) if isinstance(reason, str)]
            seconds = [] if missing else timed(answerer, asked)
            if isinstance(seconds, str) or not seconds:
                reason = missing[0] if missing else seconds or "no video could be shown"
                built.append(paper.model_copy(update={"gap": f"missing: {reason}"}))
            else:
                built.append(latency_cell(paper, seconds))
        rows.append(Row(labels=[label], cells=built))
    size, network = session.config.video.image_size, session.jobs.run("dynfocus").network
    notes = [
        f"Ours: frames of {size} × {size} at {session.config.video.fps:g} fps, cached features to finished answer, "
        f"{QUESTIONS} questions one by one on {where}; decoding and the visual encoder are not in it.",
        "Paper: frames of 224 × 224 at 1 fps on an A100.",
        f"DynFocus has L = {network.event_prototypes} and K/L = {network.selection_ratio:g} here.",
        *order_notes(rows, [cell.column for cell in cells if cell.row == cells[0].row]),
    ]
    columns = [cell.column for cell in cells if cell.row == cells[0].row]
    return Table(id="table_4", title="Seconds per answer", heads=["Method"], columns=columns, rows=rows, notes=notes)


def order_notes(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """A line for every column in which the methods come in another order, fastest first, than in the paper."""
    notes = []
    for index, column in enumerate(columns):
        cells = {row.labels[0].partition(" (")[0]: row.cells[index] for row in rows}
        if any(cell.ours is None or cell.paper is None for cell in cells.values()):
            continue
        ours, paper = (sorted(cells, key=lambda name: getattr(cells[name], side)) for side in ("ours", "paper"))
        if ours != paper:
            notes.append(f"{column}, fastest first: here {', '.join(ours)}; in the paper {', '.join(paper)}.")
    return notes


def found_questions(session: Session, name: str) -> list[Question] | str:
    """Questions of a benchmark, or why there are none."""
    try:
        return sample_questions(session, name)
    except UserError as error:
        return str(error)


def found_answerer(session: Session, run: str) -> Answerer | str:
    """The answerer of a run, or why there is none."""
    try:
        return answerer_of(session, "table_4", run)
    except UserError as error:
        return str(error)


def timed(answerer: Answerer, questions: Sequence[Question]) -> list[float] | str:
    """Seconds per answer, or why there are none (no features of the benchmark)."""
    try:
        return time_answers(answerer, questions)
    except UserError as error:
        return str(error)
