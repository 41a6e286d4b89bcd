"""What every part of a scenario has in common: strict, frozen pydantic models.

A field is named with its unit in Python (`bandwidth_hz`) and without it in YAML (`bandwidth:
5 MHz`): the YAML name is the field's alias. The functions here look at models the way YAML does.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


class Config(BaseModel):
    """Base of every scenario section: unknown keys are errors, values cannot change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        str_min_length=0,  # a bound, even this, makes pydantic refuse half a surrogate pair
    )


class FileMark:
    """Marks a field that names a file."""


FileName = Annotated[str, FileMark()]
"""A file's path: relative to the scenario file where it is written in one, absolute once loaded."""


class FolderMark(FileMark):
    """Marks a field that names a folder."""


FolderName = Annotated[str, FolderMark()]
"""A folder's path, as for `FileName`."""

FileHash = Annotated[
    str | None,
    Field(
        pattern="^[0-9a-f]{64}$",
        description="Hash the file must have; loading notes it, so that a run is what it was.",
    ),
]
"""SHA-256 of the file that a section names."""


class MisfitError(ValueError):
    """Fields that do not go together, found by the section above them.

    Attributes:
        path: Where the offending field is, in YAML names below the section that raises.
    """

    def __init__(self, path: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


def parts(annotation: Any) -> Iterator[Any]:
    """An annotation's alternatives and their metadata, `Annotated` and unions taken apart."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for part in get_args(annotation):
            yield from parts(part)
    else:
        yield annotation


def yaml_fields(model: type[Config]) -> dict[str, FieldInfo]:
    """A section's fields by the name they have in YAML, in schema order."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def sections(annotation: Any) -> list[type[Config]]:
    """The sections that an annotation allows."""
    return [p for p in parts(annotation) if isinstance(p, type) and issubclass(p, Config)]


def kinds(annotation: Any) -> dict[str, type[Config]]:
    """The sections that an annotation allows and `kind:` chooses from, by kind."""
    return {
        model.model_fields["kind"].default: model
        for model in sections(annotation)
        if "kind" in model.model_fields
    }
