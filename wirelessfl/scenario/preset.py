"""What every strategy's section has in common: a kind that fills in the four choices."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from wirelessfl.scenario.base import Config


def _with_tuples(value: Any) -> Any:
    """A section with tuples for lists: strictly checked, a Python list is no tuple, JSON's is."""
    if isinstance(value, dict):
        return {key: _with_tuples(child) for key, child in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


class Preset(Config):
    """Base of every strategy: whatever of a choice is not written stays as the preset has it.

    Attributes:
        learns_from: What of the clients' updates it decides from, which real training alone has.
        independent: Whether clients are drawn independently of one another and weighted a_n/q_n.
    """

    learns_from: ClassVar[Literal["", "norms", "losses"]] = ""
    independent: ClassVar[bool] = True
    kind: str

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        filled = {name: _with_tuples(value) for name, value in data.items()}
        for name, field in cls.model_fields.items():
            given, preset = filled.get(name), field.default
            if isinstance(given, dict) and isinstance(preset, Config) and "kind" not in given:
                filled[name] = {**preset.model_dump(exclude_unset=True), **given}
        return filled
