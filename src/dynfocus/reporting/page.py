"""HTML of tables and pages: Jinja templates, one style sheet and one script of this package, nothing loaded."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dynfocus.reporting.numbers import chance, signed

if TYPE_CHECKING:
    from dynfocus.reporting.session import SavedItem
    from dynfocus.reporting.tables import Table


@cache
def environment() -> Environment:
    """The template environment; everything is escaped unless it is `Markup`."""
    made = Environment(loader=PackageLoader("dynfocus.reporting"), autoescape=True, undefined=StrictUndefined)
    made.filters["signed"] = signed
    made.filters["chance"] = chance
    made.filters["slug"] = lambda text: text.replace(" ", "-")
    return made


def inlined(name: str) -> Markup:
    """A style sheet or script of this package, to be written inside the page."""
    return Markup((files(__package__) / "templates" / name).read_text(encoding="utf-8"))


def macro(name: str) -> Callable[..., str]:
    """A macro of `macros.html.j2`."""
    return cast(Callable[..., str], getattr(environment().get_template("macros.html.j2").module, name))


def table_html(table: Table, link: Callable[[str], str], made: str = "") -> Markup:
    """A table; `link` turns the score file behind a cell into an address, `made` is that of all other numbers."""
    return Markup(macro("table_html")(table, link, made))


def figures_html(item: SavedItem, results: Path, made: str = "") -> Markup:
    """The figures of an item, embedded, and its notes; `made` is the address of the record of how they were made."""
    files = [(figure, results / "figures" / f"{figure.stem}.svg") for figure in item.figures]
    figures = [(figure, embedded_image(file), is_picture(file)) for figure, file in files]
    return Markup(macro("figures_html")(figures, item.notes, made))


def page(template: str, **values: object) -> str:
    """A whole page from a template."""
    return (
        environment().get_template(template).render(style=inlined("style.css"), script=inlined("report.js"), **values)
    )


def is_picture(path: Path) -> bool:
    """Whether an SVG holds photographs, whose colours a dark page must leave alone."""
    return "<image" in path.read_text(encoding="utf-8")


def embedded_image(path: Path) -> str:
    """An SVG or PNG file as a data address, so that the page needs no other file."""
    kind = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
