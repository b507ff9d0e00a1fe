"""B.3: tokens per frame and per video of DynFocus, LLaMA-VID and Chat-UniVi."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from dynfocus.config.schema import Network
from dynfocus.paper.register import cells_of, value_of
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Table, plain_table
from dynfocus.reporting.verdicts import Verdict
from dynfocus.tokens import fine_tokens, num_visual_tokens, selected_events, univi_levels

LENGTHS = (1, 25, 100, 300, 1000)
"""Frames of the videos in the table and the figure."""


def printed_tokens(session: Session) -> dict[str, int]:
    """The register's token counts, recomputed from the configuration of the runs."""
    ours = session.jobs.run("dynfocus").network
    return {
        "b_3.dynfocus.cone": fine_tokens(ours) + ours.rod_tokens,
        "b_3.dynfocus.rod": ours.rod_tokens,
        "b_3.llama_vid.frame": num_visual_tokens(session.jobs.run("llama_vid").network, 1),
        "b_3.chat_univi.event": sum(univi_levels(session.jobs.run("chat_univi").network)),
    }


def fewer_tokens(tokens: Mapping[str, int]) -> float:
    """How many per cent fewer tokens a cone frame has than an event of Chat-UniVi."""
    return 100 * (1 - tokens["b_3.dynfocus.cone"] / tokens["b_3.chat_univi.event"])


def frame_table(session: Session) -> Table:
    """Tokens of a frame, the paper's beside those of our configuration; exact, so equal or not."""
    ours = printed_tokens(session)
    grid = session.jobs.run("chat_univi").network.grid
    rows = []
    for cell in cells_of("b_3"):
        if cell.id not in ours:
            continue
        verdict = Verdict.REPLICATES if ours[cell.id] == cell.number else Verdict.DIFFERS
        comparison = Comparison(
            paper=cell.number,
            paper_text=cell.value,
            ours=ours[cell.id],
            unit="tokens",
            decimals=0,
            verdict=verdict.value,
            cell_id=cell.id,
            note=cell.note,
        )
        rows.append(((cell.row, cell.column), (comparison,)))
    notes = [
        f"Counted from the configuration, so equal by construction: a frame has {grid} × {grid} patches here, 16 × 16 "
        "in the paper.",
        f"A cone frame has {fewer_tokens(ours):.1f} % fewer tokens than an event of Chat-UniVi; the text says "
        f"approximately {value_of('b_3.reduction'):g} %.",
    ]
    return plain_table("b_3", "Tokens of a frame", ("Method", "Frame"), ("Tokens",), rows, notes=notes)


def video_table(session: Session, item: str) -> Table:
    """Visual tokens of videos of several lengths, one row a run, and DynFocus with the paper's L and K."""
    networks = {
        session.experiments.runs[run].title: session.jobs.run(run).network
        for run in session.experiments.items[item].runs
    }
    ours, paper = session.jobs.run("dynfocus").network, Network()
    if ours.event_prototypes != paper.event_prototypes:
        of_paper = {name: getattr(paper, name) for name in ("event_prototypes", "selection_ratio")}
        networks["DynFocus, L and K of the paper"] = ours.model_copy(update=of_paper)
    rows = [
        ((title,), [f"{num_visual_tokens(network, length):,}" for length in LENGTHS])
        for title, network in networks.items()
    ]
    kept, of = (selected_events(network, LENGTHS[-1]) for network in (ours, paper))
    notes = [f"DynFocus keeps K = {kept[1]} of L = {kept[0]} event prototypes here, {of[1]} of {of[0]} in the paper."]
    columns = [f"{length:,} frames" for length in LENGTHS]
    return plain_table("b_3_video", "Visual tokens of a video", ("Method",), columns, rows, notes=notes)


def video_figure(session: Session, item: str) -> Figure:
    """Visual tokens over the number of frames, one line a run, logarithmic."""
    from dynfocus.reporting.figures import curves

    series: dict[str, dict[float, tuple[float, float, float]]] = {}
    for run in session.experiments.items[item].runs:
        network = session.jobs.run(run).network
        points = {frames: num_visual_tokens(network, frames) for frames in range(1, 1001, 9)}
        series[session.experiments.runs[run].title] = {
            frames: (count, count, count) for frames, count in points.items()
        }
    return curves(series, "frames", "visual tokens", optimum=False, markers=False, log=True)
