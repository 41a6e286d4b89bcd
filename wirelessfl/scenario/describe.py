"""What a scenario may say: its JSON Schema for editors, and every `kind` for `wirelessfl list`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from wirelessfl.errors import InputError
from wirelessfl.scenario.base import Config, kinds, parts, sections, yaml_fields
from wirelessfl.scenario.devices import catalogue
from wirelessfl.scenario.document import Scenario
from wirelessfl.scenario.located import suggestion
from wirelessfl.scenario.models import model_sizes
from wirelessfl.scenario.units import Dimension


@dataclass(frozen=True)
class Option:
    """A field of a kind: its YAML name, its default or value, and what it means."""

    name: str
    default: str
    description: str


@dataclass(frozen=True)
class Kind:
    """One thing a `kind:` (or a device's name) can say, and the fields that go with it.

    A field that is one of a few words, such as `association`, is a single entry with all of them.
    """

    topic: str
    name: str
    summary: str
    options: tuple[Option, ...]


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario file, which may extend another."""
    schema = Scenario.model_json_schema(mode="serialization")  # so that defaults have their units
    schema["properties"] = {
        "extends": {
            "type": "string",
            "description": "Scenario file to start from, relative to this one.",
        },
        **schema["properties"],
    }
    del schema["required"]
    schema["anyOf"] = [{"required": ["name"]}, {"required": ["extends"]}]
    for variant in set(_variants(schema)):
        definition = schema["$defs"][variant.removeprefix("#/$defs/")]
        definition["required"] = ["kind", *definition.get("required", ())]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _variants(schema: Any) -> Iterator[str]:
    """References to everything that some `kind` chooses from."""
    if isinstance(schema, dict):
        yield from schema.get("discriminator", {}).get("mapping", {}).values()
    for child in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(child, dict | list):
            yield from _variants(child)


def list_kinds(topic: str | None = None) -> list[Kind]:
    """Every kind that a scenario can name.

    Args:
        topic: Only this one: a field such as `fading`, or `devices` or `models` for a catalogue.

    Raises:
        InputError: If there is no such topic.
    """
    found = list(dict.fromkeys([*_kinds_of(Scenario), *_catalogue()]))
    topics = list(dict.fromkeys(kind.topic for kind in found))
    if topic is not None and topic not in topics:
        raise InputError(f"unknown topic {topic!r}; {suggestion(topic, topics)}")
    found.sort(key=lambda kind: topics.index(kind.topic))
    return [kind for kind in found if topic in (None, kind.topic)]


def list_text(topic: str | None = None) -> str:
    """The kinds as text, one paragraph a topic; arguments and errors as for `list_kinds`.

    The topic `strategies` has one line for each `strategy`, without their fields.
    """
    if topic == "strategies":
        return "\n".join(f"{kind.name}: {kind.summary}" for kind in list_kinds("strategy"))
    lines: list[str] = []
    heading = None
    for kind in list_kinds(topic):
        if kind.topic != heading:
            heading = kind.topic
            lines += ["", heading] if lines else [heading]
        lines.append(f"  {kind.name}: {kind.summary}")
        width = max((len(f"{o.name} = {o.default}") for o in kind.options), default=0)
        for option in kind.options:
            setting = f"{option.name} = {option.default}".ljust(min(width, 44))
            lines.append(f"      {setting}  {option.description}".rstrip())
    return "\n".join(lines)


def plain_sections() -> list[Kind]:
    """The sections that every scenario has, which no `kind` chooses, with the fields of their own.

    Named by their place, e.g. `network.uplink`; a field that a kind chooses shows its default kind.
    """
    return list(_plain_sections(Scenario, ""))


def _plain_sections(
    model: type[Config], place: str, preset: Config | None = None
) -> Iterator[Kind]:
    """The section, then those below it; defaults are those of `preset` where there is one."""
    own: list[Option] = []
    below: list[Kind] = []
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        annotation = field.rebuild_annotation()
        inner = [] if kinds(annotation) else sections(annotation)
        default = field.get_default(call_default_factory=True)
        default = getattr(preset, attribute, default)
        path = f"{place}.{name}" if place else name
        if inner:
            of_names = "dict" in str(annotation)
            own_preset = default if isinstance(default, Config) else None
            below += _plain_sections(inner[0], f"{path}.NAME" if of_names else path, own_preset)
        else:
            own.append(Option(name, _default(field, default), field.description or ""))
    yield Kind("sections", place or "scenario", _summary(model), tuple(own))
    yield from below


def _kinds_of(model: type[Config], within_kind: bool = False) -> Iterator[Kind]:
    """The kinds below a section, in schema order, each before those below it."""
    for name, field in yaml_fields(model).items():
        annotation = field.rebuild_annotation()
        for kind, variant in kinds(annotation).items():
            yield Kind(name, kind, _summary(variant), tuple(_options(variant)))
        if len(words := _words(annotation)) > 1 and not within_kind:  # else it is an option there
            yield Kind(name, " | ".join(words), field.description or "", ())
        for section in sections(annotation):
            yield from _kinds_of(section, within_kind or "kind" in section.model_fields)


def _summary(model: type[Config]) -> str:
    return " ".join((model.__doc__ or "").strip().split("\n\n")[0].split())


def _options(
    model: type[Config], prefix: str = "", preset: Config | None = None
) -> Iterator[Option]:
    """A kind's fields; those of sections without a kind by dotted name.

    The defaults are those of `preset` where the section above has one of its own.
    """
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        below = [] if kinds(field.annotation) else sections(field.annotation)
        if below:
            if field.default is None:
                yield Option(prefix + name, "null", field.description or "")
            own = field.default if isinstance(field.default, Config) else None
            yield from _options(below[0], f"{prefix}{name}.", own)
        elif name != "kind":
            default = field.get_default(call_default_factory=True)
            default = getattr(preset, attribute, default)
            yield Option(prefix + name, _default(field, default), field.description or "")


def _default(field: FieldInfo, default: Any) -> str:
    """A default as YAML would say it, or an example; then what else a choice allows."""
    annotation = field.rebuild_annotation()
    dimension = next((p for p in parts(annotation) if isinstance(p, Dimension)), None)
    if field.is_required():
        text = "(required)"
    elif isinstance(default, Config):
        text = str(default.model_dump()["kind"])
    elif dimension is not None and isinstance(default, float | int):
        text = dimension.format(default)
    else:
        text = default if isinstance(default, str) else json.dumps(to_jsonable_python(default))
    others = [word for word in _words(annotation) if word != str(default)]
    if dimension is not None and not isinstance(default, float | int):
        others.append(f"e.g. {dimension.example}")
    return f"{text} (or {', '.join(others)})" if others else text


def _words(annotation: Any) -> list[str]:
    """The words (or numbers) that an annotation allows by name."""
    return [str(c) for p in parts(annotation) if get_origin(p) is Literal for c in get_args(p)]


def _catalogue() -> Iterator[Kind]:
    """The devices and model sizes that come with the package."""
    for name, profile in catalogue().items():
        yield _entry("devices", name, profile, profile.source)
    for name, size in model_sizes().items():
        yield _entry("models", name, size, size.source)


def _entry(topic: str, name: str, entry: Config, source: str) -> Kind:
    values = entry.model_dump(mode="json", exclude_defaults=True, exclude={"source"})
    descriptions = {key: f.description or "" for key, f in yaml_fields(type(entry)).items()}
    options = [Option(key, str(value), descriptions[key]) for key, value in values.items()]
    return Kind(topic, name, source, tuple(options))
