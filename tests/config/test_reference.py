"""The generated schema and reference page follow the code."""

from __future__ import annotations

import json

from dynfocus.config.experiments import Item, Run
from dynfocus.config.load import section_of
from dynfocus.config.reference import REPAIR, export, json_schema, outdated
from dynfocus.config.schema import Config


def test_generated_files_are_up_to_date(repository):
    stale = [str(file) for file in outdated(repository)]
    assert not stale, f"out of date: {', '.join(stale)}; run `{REPAIR}` (or `make docs`)"


def test_drift_is_noticed(tmp_path):
    export(tmp_path)
    assert outdated(tmp_path) == []
    page = tmp_path / "docs" / "configuration.md"
    page.write_text(page.read_text().replace("| `seeds` |", "| `seed` |"))
    assert [file.name for file in outdated(tmp_path)] == ["configuration.md"]


def test_every_key_is_described():
    def undescribed(model, prefix=""):
        for name, field in model.model_fields.items():
            nested = section_of(field.annotation)
            if nested is not None:
                yield from undescribed(nested, f"{prefix}{name}.")
            elif not field.description:
                yield f"{prefix}{name}"

    assert [key for model in (Config, Run, Item) for key in undescribed(model)] == []


def test_schema_refuses_unknown_keys():
    schema = json.loads(json_schema())
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())
