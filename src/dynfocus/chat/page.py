"""The web page of the chat, made with NiceGUI: films, questions, and under each reply what the model looked at.

    serve(Chat({"DynFocus": model}, examples, about), "127.0.0.1", 7860)

One or two models answer every question side by side. A browser's page holds its own film and talk, and both go with
it. Nothing that comes in is trusted: `guard` bounds what reaches the page, and here stand the bounds of what it asks.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import uvicorn
from fastapi import FastAPI
from nicegui import Client, run, ui
from nicegui.events import EChartPointClickEventArguments, UploadEventArguments

from dynfocus.chat import guard
from dynfocus.chat.examples import Example
from dynfocus.chat.film import Film
from dynfocus.chat.model import ChatModel, Exchange, Turn
from dynfocus.errors import MachineError, UserError

MOST_PAGES = 64
MOST_WAITING = 8
"""Questions and films that are worked on or wait for their turn."""
LONGEST_QUESTION = 2000
LONGEST_NAME = 120
MOST_PICTURES = 60
"""Frames of a strip besides its cones; of longer films it shows every second, third ... of the rods."""
log = logging.getLogger(__name__)
CONE, ROD = "#d55e00", "#0072b2"
STYLE = f"""
.strip {{ display: flex; gap: 3px; overflow-x: auto; padding: 4px 0; }}
.strip figure {{ flex: 0 0 76px; margin: 0; font-size: 11px; text-align: center; cursor: pointer; }}
.strip img {{ display: block; width: 100%; border: 3px solid transparent; border-radius: 4px; }}
.strip .rod img {{ border-color: {ROD}66; opacity: .6; }} .strip .cone img {{ border-color: {CONE}; }}
.strip .cone {{ font-weight: 600; }}
.nicegui-content {{ padding: 12px; }} .q-uploader__list {{ display: none; }} .q-uploader__subtitle {{ display: none; }}
"""


@dataclass
class Chat:
    """What all pages share: models by their title, examples, and a word on what the models know."""

    models: Mapping[str, ChatModel]
    examples: Sequence[Example]
    about: str
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    waiting: int = 0

    async def work(self, job: Any, *arguments: Any) -> Any:
        """A job of a model in a thread; refused where too many wait already."""
        if self.waiting >= MOST_WAITING:
            raise UserError("the server is busy with others; try again in a moment")
        self.waiting += 1
        try:
            return await run.io_bound(job, *arguments)
        finally:
            self.waiting -= 1


class Answers:
    """One model's column on a page: its replies, and film strip and time line of the reply that is looked at."""

    def __init__(self, title: str, model: ChatModel, seek: Any):
        self.title, self.model, self._seek = title, model, seek
        self.history: list[Exchange] = []
        self.film: Film  # of `show_film`, before any question
        with ui.card().classes("w-full min-w-0 gap-2") as self.card:
            ui.label(title).classes("text-base font-bold")
            self._talk = ui.column().classes("w-full gap-1")
            self._strip = ui.row().classes("w-full")
            self._chart = ui.column().classes("w-full gap-0")

    def show_film(self, film: Film) -> None:
        """A new film, and a talk that has not begun."""
        self.film = film
        self.history.clear()
        self._talk.clear()
        self._chart.clear()
        self._draw_strip(None)

    async def ask(self, chat: Chat, question: str, selection: tuple[int, float] | None, stop: Event) -> None:
        """Ask the model; the words come as they are made."""
        loop = asyncio.get_running_loop()
        with self._talk, ui.column().classes("w-full gap-0 cursor-pointer") as block:
            ui.label(question).classes("text-sm opacity-70")
            reply = ui.label("…").classes("reply font-semibold")
            meta = ui.label().classes("meta text-xs opacity-70")

        def said(words: str) -> None:
            loop.call_soon_threadsafe(reply.set_text, words + " …")

        try:
            turn = await chat.work(self.model.ask, self.film, tuple(self.history), question, selection, said, stop)
        except BaseException:
            block.delete()
            raise
        reply.set_text((turn.reply or "(no words)") + (" (stopped)" if stop.is_set() else ""))
        meta.set_text(costs(turn))
        block.on("click", lambda: self._draw(turn))
        self.history.append((turn.question, turn.reply))
        self._draw(turn)

    def _draw(self, turn: Turn) -> None:
        self._draw_strip(turn)
        self._chart.clear()
        if turn.look.cones:
            with self._chart:
                ui.echart(time_line(self.film, turn), on_point_click=self._clicked).classes("w-full h-52")

    def _clicked(self, event: EChartPointClickEventArguments) -> None:
        if isinstance(event.data_index, int) and 0 <= event.data_index < len(self.film):
            self._seek(float(self.film.seconds[event.data_index]))

    def _draw_strip(self, turn: Turn | None) -> None:
        cones, tokens = (turn.look.cones, turn.look.tokens_per_frame) if turn else ([], [])
        self._strip.clear()
        with self._strip, ui.element("div").classes("strip w-full"):
            every = -(-len(self.film) // MOST_PICTURES)
            for number, (second, picture) in enumerate(zip(self.film.seconds, self.film.thumbnails, strict=True)):
                if number % every and not (cones and cones[number]):
                    continue
                kind = ("cone" if cones[number] else "rod") if cones else ""
                spent = f", {tokens[number]} tok" if cones else ""
                source = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
                label = f"{second:.0f} s{spent}"
                with ui.element("figure").classes(f"frame {kind}") as frame:
                    ui.element("img").props(f'src="{source}" alt="frame at {label} {kind}"')
                    ui.label(label)
                frame.on("click", lambda _, second=float(second): self._seek(second))


class Page:
    """What one browser sees."""

    def __init__(self, chat: Chat):
        self._chat, self._stop, self._answering, self._left = chat, Event(), False, False
        self._film: Film | None = None
        self._uploaded: Path | None = None
        self._truths: Mapping[str, str] = {}
        ui.add_css(STYLE)
        with ui.column().classes("w-full max-w-6xl mx-auto gap-3"):
            ui.label("DynFocus").classes("text-2xl font-bold")
            ui.label(chat.about).classes("about opacity-80 max-w-4xl")
            self._films()
            self._status = ui.label("Choose a film.").classes("status").props('role="status"')
            with ui.element("div").classes("w-full grid gap-4 grid-cols-1 md:grid-cols-[2fr_3fr]"):
                self._video = ui.video("", muted=True).classes("w-full max-h-80").props("playsinline preload=auto")
                with ui.column().classes("gap-2 min-w-0"):
                    self._ask_row()
                    self._settings()
            with ui.element("div").classes(f"w-full grid gap-3 grid-cols-1 md:grid-cols-{len(chat.models)}"):
                self._columns = [Answers(title, model, self._video.seek) for title, model in chat.models.items()]
            if len(self._columns) > 1:
                self._beside.bind_value_to(self._columns[1].card, "visible")
        self._show(None)
        ui.context.client.on_delete(self._leave)

    def _films(self) -> None:
        with ui.row().classes("items-center gap-2"):
            for number, example in enumerate(self._chat.examples):
                ui.button(
                    f"Film {number + 1}", icon="movie", on_click=lambda one=example: self.open(one.path, one.questions)
                ).classes("example").props("outline dense")
            self._upload = (
                ui.upload(
                    label="or a video of yours",
                    auto_upload=True,
                    max_file_size=guard.LARGEST_UPLOAD,
                    on_upload=self.take,
                    on_rejected=lambda: self._say("the video is larger than 1 GiB"),
                )
                .props('accept="video/*" flat bordered dense')
                .classes("w-64")
            )

    def _ask_row(self) -> None:
        self._chips = ui.row().classes("gap-1")
        self._question = ui.input("Question").classes("w-full").props(f"maxlength={LONGEST_QUESTION} outlined dense")
        self._question.on("keydown.enter", lambda: self.ask(self._question.value))
        with ui.row().classes("gap-2"):
            self._ask = ui.button("Ask", on_click=lambda: self.ask(self._question.value)).classes("ask")
            ui.button("Stop", on_click=self._stop.set).classes("stop").props("outline")
            ui.button("New talk", on_click=self.start_again).classes("new").props("flat")

    def _settings(self) -> None:
        selections = [model.selection for model in self._chat.models.values() if model.selection]
        events, ratio = selections[0] if selections else (1, 1.0)
        with ui.row().classes("w-full items-center gap-4") as row:
            self._events_label = ui.label().classes("events text-sm")
            self._events = ui.slider(min=1, max=max(2 * events, 8), value=events).classes("w-32")
            self._ratio_label = ui.label().classes("ratio text-sm")
            self._ratio = ui.slider(min=0.1, max=1.0, step=0.1, value=ratio).classes("w-32")
            self._events_label.bind_text_from(
                self._events, "value", lambda L: f"L = {L} prototypes (trained: {events})"
            )
            self._ratio_label.bind_text_from(self._ratio, "value", lambda part: f"K/L = {part:g} (trained: {ratio:g})")
        row.set_visibility(bool(selections))
        if len(self._chat.models) > 1:
            self._beside = ui.switch(f"beside it: {list(self._chat.models)[1]}", value=True)

    async def take(self, event: UploadEventArguments) -> None:
        """An uploaded film; it lives as long as the page shows it."""
        name = file_name(event.file.name)
        path = self._chat.folder / f"{secrets.token_hex(8)}{Path(name).suffix[:8]}"
        await event.file.save(path)
        if self._left or self._answering:
            return path.unlink()
        self._upload.reset()
        self._forget()
        self._uploaded = path
        await self.open(path, {}, name)

    async def open(self, path: Path, questions: Mapping[str, str], name: str = "") -> None:
        """Decode a film and show it with questions to click."""
        if self._answering:
            return
        name = name or path.name
        self._say(f"Reading {name} …")
        self._answering = True
        try:
            film = await self._chat.work(self._columns[0].model.open, path, name)
        except (UserError, MachineError) as error:
            return self._say(str(error).replace(str(path), name), failed=True)
        finally:
            self._answering = False
        self._say(f"{name}: {len(film)} frames, {film.seconds[-1]:.0f} s")
        self._video.set_source(path)
        self._show(film)
        self._truths = questions
        self._chips.clear()
        with self._chips:
            for question in questions:
                ui.button(question, on_click=lambda one=question: self.ask(one)).classes("chip").props(
                    "rounded outline no-caps padding='2px 10px'"
                )

    async def ask(self, question: Any) -> None:
        """Ask every model that is shown."""
        if self._answering or self._film is None:
            return
        if not isinstance(question, str) or len(question) > LONGEST_QUESTION:
            return self._say(f"a question has at most {LONGEST_QUESTION} letters", failed=True)
        self._answering = True
        self._stop.clear()
        self._ask.disable()
        try:
            for column in self._columns:
                if column.card.visible and not self._stop.is_set():
                    selection = (self._events.value, self._ratio.value) if column.model.selection else None
                    await column.ask(self._chat, question, checked(selection), self._stop)
            self._question.set_value("")
            truth = self._truths.get(question)
            self._say(f"The annotated answer is: {truth}" if truth else "")
        except (UserError, MachineError) as error:
            self._say(str(error), failed=True)
        except Exception:
            log.exception("a question failed")
            self._say("the server failed; its terminal says how", failed=True)
        finally:
            self._answering = False
            self._ask.enable()

    def start_again(self) -> None:
        """Forget what was said."""
        if not self._answering:
            self._show(self._film)

    def _show(self, film: Film | None) -> None:
        self._film = film
        self._video.set_visibility(film is not None)
        for column in self._columns:
            if film is not None:
                column.show_film(film)

    def _say(self, words: str, failed: bool = False) -> None:
        self._status.set_text(words)
        self._status.classes(add="text-negative" if failed else "", remove="" if failed else "text-negative")

    def _leave(self) -> None:
        self._left = True
        self._stop.set()
        self._forget()

    def _forget(self) -> None:
        if self._uploaded is not None:
            self._uploaded.unlink(missing_ok=True)
            self._uploaded = None


def checked(selection: Any) -> tuple[int, float] | None:
    """L and K/L as the page sent them. Raises UserError where they are none."""
    if selection is None:
        return None
    events, ratio = selection
    plain = type(events) is int and type(ratio) in (int, float)
    if not (plain and 1 <= events <= 1000 and 0 < ratio <= 1):
        raise UserError("L must be a whole number from 1 and K/L a share up to 1")
    return events, float(ratio)


def file_name(name: str) -> str:
    """The last part of an upload's name, printable and short."""
    name = "".join(letter for letter in name.replace("\\", "/").rpartition("/")[2] if letter.isprintable())
    return name[:LONGEST_NAME] or "video"


def costs(turn: Turn) -> str:
    """What a reply cost, in words."""
    look = turn.look
    instead = f" instead of {look.all_cones} if every frame were a cone" if look.all_cones else ""
    forgotten = f"; {turn.forgotten} earlier questions forgotten" if turn.forgotten else ""
    cones = f"; {sum(look.cones)} of {len(look.cones)} frames are cones" if look.cones else ""
    return f"{look.tokens} visual tokens{instead}{cones}; {turn.seconds:.1f} s{forgotten}"


def time_line(film: Film, turn: Turn) -> dict[str, Any]:
    """Tokens of every frame and the score of every prototype over the seconds of the film, as ECharts draws them."""
    look = turn.look
    times = [f"{second:.0f}" for second in film.seconds]
    bars = [
        {
            "value": tokens,
            "itemStyle": {"color": CONE if cone else ROD},
            "name": f"{'cone' if cone else 'rod'}, event {event + 1}",
        }
        for tokens, cone, event in zip(look.tokens_per_frame, look.cones, look.prototype_of_frame, strict=True)
    ]
    scores: list[float | None] = [None] * len(times)
    for frame, score in zip(look.prototype_frames, look.scores, strict=True):
        scores[frame] = score
    grey = {"color": "#888"}
    return {
        "animation": False,
        "textStyle": grey,
        "grid": {"left": 40, "right": 40, "top": 34, "bottom": 38},
        "legend": {"data": ["tokens of a frame", "score of an event"], "textStyle": grey, "top": 0},
        "tooltip": {"trigger": "item"},
        "xAxis": {"type": "category", "data": times, "name": "seconds", "nameLocation": "middle", "nameGap": 24},
        "yAxis": [
            {"type": "value", "splitLine": {"show": False}},
            {"type": "value", "min": 0, "max": 1, "interval": 0.5, "splitLine": {"show": False}},
        ],
        "series": [
            {"name": "tokens of a frame", "type": "bar", "data": bars, "barCategoryGap": "10%", "color": CONE},
            {"name": "score of an event", "type": "scatter", "yAxisIndex": 1, "data": scores, "color": "#009e73"},
        ],
    }


def server_of(chat: Chat, host: str, port: int) -> uvicorn.Server:
    """The server, not started; one in a process."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.page("/")(lambda: Page(chat) and None)
    ui.run_with(app, title="DynFocus chat", dark=None, show_welcome_message=False)
    guarded = guard.Guard(app, host, lambda: len(Client.instances) >= MOST_PAGES)
    return uvicorn.Server(
        uvicorn.Config(
            guarded,
            host=host,
            port=port,
            http=guard.Visit,
            ws_max_size=guard.LARGEST_MESSAGE,
            timeout_keep_alive=int(guard.HEAD_SECONDS),
            timeout_graceful_shutdown=2,
            proxy_headers=False,
            server_header=False,
            log_level="error",
            access_log=False,
        )
    )


def serve(chat: Chat, host: str, port: int) -> None:
    """Serve the page until the process is interrupted. Raises UserError where the port is taken."""
    server = server_of(chat, host, port)
    try:
        listening = server.config.bind_socket()
    except SystemExit as error:
        raise UserError(f"{host}:{port}: cannot be listened on; choose another --port") from error
    with tempfile.TemporaryDirectory(prefix="dynfocus-chat-") as folder:
        chat.folder = Path(folder)
        print(f"The chat is at http://{host}:{listening.getsockname()[1]}/ (Ctrl+C ends it)", flush=True)
        server.run([listening])
