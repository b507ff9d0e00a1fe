"""Profile files and overrides become one typed `Config`.

A profile holds only its differences: `extends: paper.yaml` names the file it starts from (relative
to itself), and mappings merge key by key while every other value replaces. Files given together
merge in their order, `key.path=value` overrides come last. A mistake raises `UserError` with one
line: the file, the key path, what is wrong, and for an unknown key the nearest valid one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from dynfocus.config.checks import conflicts
from dynfocus.config.nearest import closest, nearest
from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.files import parse_yaml, read_yaml

KeyPath = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

EXTENDS = "extends"
OVERRIDES = "command line"
ANY = "*"
QUOTED = re.compile(r"'([^']*)'")


@dataclass(frozen=True)
class Layer:
    """One source of settings: its name in messages and its nested values."""

    name: str
    values: dict[str, Any]


def load_config(files: Sequence[Path], overrides: Sequence[str] = ()) -> Config:
    """Merge profile files (bases first) and `key.path=value` overrides into a validated `Config`."""
    if not files:
        raise UserError("no configuration file given; pass one, for example config/mini.yaml")
    layers = [layer for file in files for layer in read_layers(Path(file))]
    layers.extend(Layer(OVERRIDES, parse_override(text)) for text in overrides)
    values: dict[str, Any] = {}
    for layer in layers:
        values = merge(values, layer.values)
    return checked(validate(Config, values, layers), layers)


def read_layers(file: Path, seen: tuple[Path, ...] = ()) -> list[Layer]:
    """A profile file and everything it extends, the base first."""
    file = Path(os.path.relpath(file))
    if file in seen:
        raise UserError(f"{file}: {EXTENDS}: the files extend each other in a circle; remove one of the keys")
    values = read_mapping(file)
    base = values.pop(EXTENDS, None)
    if base is None:
        return [Layer(str(file), values)]
    if not isinstance(base, str):
        raise UserError(f"{file}: {EXTENDS}: must be the path of one YAML file, got {base!r}")
    return [*read_layers(file.parent / base, (*seen, file)), Layer(str(file), values)]


def read_mapping(file: Path) -> dict[str, Any]:
    """The YAML mapping in a file; one of comments alone is an empty mapping."""
    if not file.exists():
        near = [other.name for other in sorted(file.parent.glob("*.yaml"))] if file.parent.is_dir() else []
        hint = nearest(file.name, near) if near else "correct its path"
        raise UserError(f"{file}: no such configuration file; {hint}")
    return read_yaml(file)


def parse_override(text: str) -> dict[str, Any]:
    """`"alignment.learning_rate=1e-3"` as the nested mapping `{"alignment": {"learning_rate": "1e-3"}}`."""
    path, separator, value = text.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise UserError(f"{OVERRIDES}: {text!r} must have the form key.path=value, such as alignment.epochs=2")
    nested = parse_yaml(value, f"{OVERRIDES}: {text}", "correct its value")
    for key in reversed(keys):
        nested = {key: nested}
    return nested


def overrides_of(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The inverse of `parse_override`: one `key.path=value` text per leaf of a nested mapping."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from overrides_of(value, f"{path}.")
        else:
            dumped = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n")
            yield f"{path}={dumped.strip()}"


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`overlay` over `base`: mappings merge, any other value replaces."""
    merged = dict(base)
    for key, value in overlay.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def validate(model: type[Model], values: Mapping[str, Any], layers: Sequence[Layer]) -> Model:
    """`values` as a `model`, or a `UserError` of one line about the first mistake in them."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        first = problems[0]
        path = tuple(part for part in first["loc"])
        message = f"{origin(path, layers)}: {dotted(path)}: {explain(model, first, path)}{_more(problems)}"
        raise UserError(message) from None


def _more(problems: Sequence[Any]) -> str:
    return f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""


def checked(config: Config, layers: Sequence[Layer]) -> Config:
    """The configuration, or a `UserError` of one line about the first conflict between its settings."""
    found = list(conflicts(config))
    if found:
        paths = [tuple(key.split(".")) for key in found[0].keys]
        set_here = ((layer.name, path) for layer in reversed(layers) for path in paths if holds(layer.values, path))
        name, path = next(set_here, (origin(paths[0], layers), paths[0]))
        raise UserError(f"{name}: {dotted(path)}: {found[0].message}{_more(found)}")
    return config


def explain(model: type[BaseModel], problem: Mapping[str, Any], path: KeyPath) -> str:
    """What is wrong at `path`, in a few words, and what would be right where that can be told."""
    message, value = problem["msg"], problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key; the nearest valid key is {nearest_key(model, path)}"
        case "missing":
            return "missing; add it"
        case "too_short":
            return "is empty; give at least one"
        case "model_type" | "dict_type":
            return f"must hold keys and values, got {shortened(value)}"
        case "value_error":
            return message.removeprefix("Value error, ")
        case "literal_error" if isinstance(value, str) and (names := QUOTED.findall(problem["ctx"]["expected"])):
            return f"no such value, got {shortened(value)}; {nearest(value, names)}"
        case _:
            return f"{message[0].lower()}{message[1:]}, got {shortened(value)}"


def shortened(value: Any, limit: int = 60) -> str:
    """`repr(value)`, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def origin(path: KeyPath, layers: Sequence[Layer]) -> str:
    """The name of the last layer that sets `path`, or the longest part of it that any layer sets."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if holds(layer.values, path[:length]):
                return layer.name
    return layers[-1].name if layers else "configuration"


def holds(values: Any, path: KeyPath) -> bool:
    """Whether nested `values` reach down to `path`."""
    for key in path:
        in_mapping = isinstance(values, Mapping) and key in values
        in_list = isinstance(values, list) and isinstance(key, int) and key < len(values)
        if not (in_mapping or in_list):
            return False
        values = values[key]
    return True


def nearest_key(model: type[BaseModel], path: KeyPath) -> str:
    """The valid key path most like an unknown one: among its siblings, anywhere below `model`, or any sibling."""
    wrong, paths = str(path[-1]), list(key_paths(model))
    siblings = [known for known in paths if len(known) == len(path) and _under(known[:-1], path)]
    for candidates, cutoff in ((siblings, 0.7), (paths, 0.7), (siblings or paths, 0.0)):
        leaves = {known[-1]: known for known in reversed(candidates)}
        near = closest(wrong, list(leaves), cutoff)
        if near is not None:
            known = leaves[near]
            return dotted((*path[:-1], near) if known in siblings else known)
    raise AssertionError("a section has keys")


def _under(known: tuple[str, ...], path: KeyPath) -> bool:
    """Whether the first keys of `path` are `known`, in which ANY stands for every name or number."""
    return all(key in (ANY, part) for key, part in zip(known, path, strict=False))


def key_paths(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key of a model and of the models in it, with ANY for the entries of a mapping or list."""
    for name, field in model.model_fields.items():
        yield (*prefix, name)
        nested = section_of(field.annotation)
        if nested is not None:
            many = (ANY,) if get_origin(field.annotation) in (dict, list) else ()
            yield from key_paths(nested, (*prefix, name, *many))


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The model class in a field's annotation, None for a plain value."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def dotted(path: KeyPath) -> str:
    """`("alignment", "datasets", 0)` as `alignment.datasets.0`."""
    return ".".join(str(part) for part in path)
