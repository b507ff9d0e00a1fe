"""Tables as CSV (one line a cell, everything known), Markdown and LaTeX (the layout of the page)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from dynfocus.reporting.tables import Comparison, Table

CSV_FIELDS = (
    "table", "row", "column", "cell", "paper", "ours", "low", "high", "difference", "unit", "verdict",
    "gap", "questions", "seeds", "coverage", "record", "note",
)  # fmt: skip
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "†": r"$\dagger$", "–": "--", "−": "$-$", "²": "$^2$",
    "→": r"$\rightarrow$", "×": r"$\times$", "Δ": r"$\Delta$", "ρ": r"$\rho$", "δ": r"$\delta$", "·": r"$\cdot$",
}  # fmt: skip


def cell_text(cell: Comparison | str, rank: str = "") -> str:
    """A cell in one line: ours with interval, the paper's and the rank in parentheses, gaps by name."""
    if isinstance(cell, str):
        return cell
    ours = f"[{cell.gap.partition(':')[0]}]" if cell.gap else f"{cell.number(cell.ours)} {cell.interval}".strip()
    beside = "; ".join([*([f"paper {cell.paper_text}"] if cell.paper_text else []), *([rank] if rank else [])])
    paper = f"({beside})" if beside else ""
    return f"{ours} {paper}".strip()


def rows_of(table: Table) -> Iterator[list[str]]:
    """The cells of every row as text, labels first."""
    ranks = table.all_ranks()
    for place, row in enumerate(table.rows):
        yield [
            *row.labels,
            *(cell_text(cell, rank.get(place, "")) for cell, rank in zip(row.cells, ranks, strict=True)),
        ]


def to_csv(table: Table) -> str:
    """Long form: every cell with all its fields."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            writer.writerow({"table": table.id, "row": " | ".join(row.labels), "column": column, **csv_fields(cell)})
    return buffer.getvalue()


def csv_fields(cell: Comparison | str) -> dict[str, object]:
    """The CSV fields of a cell; a text cell has only `ours`."""
    if isinstance(cell, str):
        return {"ours": cell}
    return {
        "cell": cell.cell_id,
        "paper": cell.paper_text,
        "ours": "" if cell.ours is None else repr(cell.ours),
        "low": "" if cell.low is None else repr(cell.low),
        "high": "" if cell.high is None else repr(cell.high),
        "difference": "" if cell.difference is None else repr(round(cell.difference, 6)),
        "unit": cell.unit,
        "verdict": cell.verdict,
        "gap": cell.gap,
        "questions": cell.questions or "",
        "seeds": cell.seeds or "",
        "coverage": cell.coverage,
        "record": cell.record,
        "note": cell.note,
    }


def to_markdown(table: Table) -> str:
    """A pipe table with title and notes."""
    heads = [*table.heads, *table.columns]
    lines = [f"**{table.title}**", "", markdown_row(heads), markdown_row(["---"] * len(heads))]
    lines += map(markdown_row, rows_of(table))
    lines += ["", *(f"* {note}" for note in table.notes)]
    return "\n".join(lines).rstrip() + "\n"


def markdown_row(cells: list[str]) -> str:
    """One line of a pipe table."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def latex_text(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(LATEX_ESCAPES.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    """A booktabs table."""
    columns = "l" * len(table.heads) + "r" * len(table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(table.title)}}}",
        rf"\label{{tab:{table.id}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(latex_text(head) for head in [*table.heads, *table.columns]) + r" \\",
        r"\midrule",
    ]
    lines += [" & ".join(map(latex_text, row)) + r" \\" for row in rows_of(table)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {latex_text(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def write_tables(tables: list[Table], folder: Path, item: str) -> list[Path]:
    """Write `{item}.csv`, `.md` and `.tex` with all tables of an item, nothing where it has none; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    if not tables:
        return []
    bodies = [to_csv(table).splitlines(keepends=True) for table in tables]
    texts = {
        ".csv": "".join([*bodies[0], *(line for body in bodies[1:] for line in body[1:])]),
        ".md": "\n".join(to_markdown(table) for table in tables),
        ".tex": "\n".join(to_latex(table) for table in tables),
    }
    paths = []
    for suffix, text in texts.items():
        path = folder / f"{item}{suffix}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
