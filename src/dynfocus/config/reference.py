"""The JSON schema and the reference page of all configuration keys, generated from the typed settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dynfocus.config.experiments import Item, Run
from dynfocus.config.load import section_of
from dynfocus.config.schema import MOST, Config
from dynfocus.files import read_text, write_text

SCHEMA_FILE = Path("config/schema.json")
PAGE_FILE = Path("docs/configuration.md")
REPAIR = "dynfocus export-config-docs"

HEADER = f"""# Configuration

Generated from `src/dynfocus/config/schema.py` by `{REPAIR}`; edit there.

A profile is a YAML file of the keys below. `extends: other.yaml` starts from another file, so a profile holds only its
differences; `config/paper.yaml` is the base of all. `snakemake --configfile FILE` chooses a profile (`config/mini.yaml`
by default), further files after it merge on top, and `--config key=value` (or `--set section.key=value` of a `dynfocus`
command) comes last. An unknown key or a wrong type stops the run with one line. Defaults are those of the code; the
profiles set most keys themselves.
"""

EXPERIMENTS = """
# Runs and report items

`config/experiments.yaml` holds `runs` (name → differences) and `items` (report item → what it needs). Adding an entry
is enough: the workflow derives every job from it, and runs with equal stage-1 settings share that checkpoint.
"""


def json_schema() -> str:
    """The JSON schema of a complete profile, as the text of config/schema.json."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def reference_page() -> str:
    """The text of docs/configuration.md."""
    parts = [HEADER, *_sections(Config, "Top level", ""), EXPERIMENTS]
    for model, heading in ((Run, "A run"), (Item, "An item of `items`")):
        parts.append(_table(model, heading))
    return "\n".join(parts)


def outdated(root: Path = Path(".")) -> list[Path]:
    """The generated files below `root` that differ from what the code says."""
    wanted = {SCHEMA_FILE: json_schema(), PAGE_FILE: reference_page()}
    return [file for file, text in wanted.items() if not (root / file).is_file() or read_text(root / file) != text]


def export(root: Path = Path(".")) -> list[Path]:
    """Write both files below `root` and return their paths."""
    for file, text in ((SCHEMA_FILE, json_schema()), (PAGE_FILE, reference_page())):
        write_text(root / file, text)
    return [SCHEMA_FILE, PAGE_FILE]


def _sections(model: type[BaseModel], heading: str, path: str) -> Iterator[str]:
    yield _table(model, heading)
    for name, field in model.model_fields.items():
        nested = section_of(field.annotation)
        if nested is not None:
            yield from _sections(nested, f"`{path}{name}`", f"{path}{name}.")


def _table(model: type[BaseModel], heading: str) -> str:
    properties = model.model_json_schema()["properties"]
    rows = []
    for name, field in model.model_fields.items():
        if section_of(field.annotation) is None:
            cells = (f"`{name}`", _describe(properties[name]), _default(field), field.description or "")
            rows.append(f"| {' | '.join(cell.replace('|', ' or ') for cell in cells)} |")
    title = [f"## {heading}", "", " ".join((model.__doc__ or "").split()), ""]
    head = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"] if rows else []
    return "\n".join([*title, *head, *rows]).rstrip() + "\n"


def _describe(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_describe(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_describe(schema['items'])}"
    words = {"string": "text", "object": "mapping", "null": "nothing", "boolean": "true, false"}
    kind = words.get(schema.get("type", ""), schema.get("type", "any"))
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema and schema[key] < MOST]
    return " ".join([kind, ", ".join(limits)]).strip()


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    return f"`{json.dumps(field.default, ensure_ascii=False)}`"
