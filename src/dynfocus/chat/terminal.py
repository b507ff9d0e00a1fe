"""`dynfocus chat`: questions and replies about one video, with a line of frames under each reply."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from dynfocus.chat.film import Film
from dynfocus.chat.model import ChatModel, Exchange, Turn
from dynfocus.errors import UserError

CONE, ROD = "█", "▁"
HELP = "Ask about the video. An empty line ends the talk; /new forgets what was said."


def read_question(console: Console) -> str | None:
    """A line from the user; None at the end of the input."""
    try:
        return console.input("[bold]> [/bold]")
    except (EOFError, KeyboardInterrupt):
        return None


def talk(model: ChatModel, film: Film, read: Callable[[], str | None], console: Console) -> list[Turn]:
    """Answer questions until `read` gives None or an empty line; returns the turns."""
    console.print(f"[bold]{film.name}[/bold]: {len(film)} frames, {film.seconds[-1]:.0f} s. {HELP}")
    turns: list[Turn] = []
    history: list[Exchange] = []
    while question := (read() or "").strip():
        if question == "/new":
            history.clear()
            console.print("Forgotten.")
            continue
        try:
            turn = model.ask(film, history, question)
        except UserError as error:
            console.print(f"[red]{error}[/red]")
            continue
        turns.append(turn)
        history.append((turn.question, turn.reply))
        show(turn, film, console)
    return turns


def show(turn: Turn, film: Film, console: Console) -> None:
    """The reply, and which frames were cones."""
    console.print(Text(turn.reply or "(no words)", style="bold"))
    look = turn.look
    if look.cones:
        line = Text().join(Text(CONE, "orange3") if cone else Text(ROD, "blue") for cone in look.cones)
        console.print(line)
        times = ", ".join(f"{film.seconds[frame]:.0f} s" for frame, cone in enumerate(look.cones) if cone)
        console.print(f"{sum(look.cones)} of {len(film)} frames are cones ({times})", style="dim", highlight=False)
    forgotten = f", {turn.forgotten} earlier questions forgotten" if turn.forgotten else ""
    console.print(f"{look.tokens} visual tokens, {turn.seconds:.1f} s{forgotten}", style="dim", highlight=False)
