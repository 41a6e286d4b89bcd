"""Physical quantities: a float in SI units inside Python, a number with its unit in YAML.

`'5 MHz'` is `5e6`, `'12 h'` is `43200.0`. A text is number x prefix x unit, the nearest float to
the exact product; a float becomes the shortest text that reads back as the identical float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from quantiphy import Quantity

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"


@dataclass(frozen=True, eq=False)
class Dimension:
    """One kind of quantity: what it may be written in.

    Attributes:
        name: For messages: 'a frequency'.
        example: A text of this dimension.
        units: Units by name with their exact size in the SI unit, which comes first (its size
            is 1).
        prefixes: Multipliers by prefixed unit: `{'Hz': ('k', 'M')}` allows kHz and MHz.
    """

    name: str
    example: str
    units: Mapping[str, int | Fraction]
    prefixes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The SI unit that a float of this dimension is in."""
        return next(iter(self.units))

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every accepted unit, with its prefixes."""
        return tuple(
            prefix + unit for unit in self.units for prefix in ("", *self.prefixes.get(unit, ()))
        )

    @cached_property
    def sizes(self) -> Mapping[str, Fraction]:
        """Every spelling's exact size in the SI unit."""
        ones = {spelling: _Quantity(f"1 {spelling}", binary=True) for spelling in self.spellings}
        return {s: Fraction(repr(one.real)) * self.units[one.units] for s, one in ones.items()}

    @cached_property
    def pattern(self) -> str:
        """Regular expression, of Python and JavaScript, that groups number and unit."""
        return rf"^\s*({NUMBER})\s*({'|'.join(self.spellings)})\s*$"

    @property
    def requirement(self) -> str:
        """What to write, for messages that begin with what was written."""
        return (
            f"must be {self.name} with its unit, e.g. {self.example!r} "
            f"(units: {', '.join(self.spellings)})"
        )

    def parse(self, text: str) -> float:
        """Read a number with a unit.

        Raises:
            ValueError: If the text is something else; says what to write.
        """
        match = re.match(self.pattern, text, re.ASCII)
        if match is None:
            raise ValueError(self.requirement)
        try:
            return float(Fraction(match[1]) * self.sizes[match[2]])
        except (OverflowError, ValueError):  # beyond floats; thousands of digits
            raise ValueError("must be a number that a float can hold") from None

    def format(self, value: float) -> str:
        """The shortest text that `parse` reads as exactly this float."""
        plain = f"{value!r}".removesuffix(".0") + f" {self.unit}"
        quantities = [_Quantity(value / float(size), unit) for unit, size in self.units.items()]
        texts = [
            text for q in quantities for text in (q.render(prec="full"), q.binary(prec="full"))
        ]
        return min([plain, *(text for text in texts if self._reads_as(text, value))], key=len)

    def _reads_as(self, text: str, value: float) -> bool:
        try:
            return self.parse(text) == value
        except ValueError:
            return False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            self._validate,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.format, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def _validate(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool):
            raise ValueError(self.requirement)
        return value

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": self.pattern, "examples": [self.example]}


SMALL = ("m", "u", "µ", "n")
LARGE = ("k", "M", "G", "T")
BYTES = (*LARGE, "Ki", "Mi", "Gi", "Ti")

FREQUENCY = Dimension("a frequency", "5 MHz", {"Hz": 1}, {"Hz": LARGE})
TIME = Dimension(
    "a time",
    "1.5 s",
    {"s": 1, "min": 60, "h": 3600, "d": 86_400, "day": 86_400, "days": 86_400},
    {"s": SMALL},
)
LENGTH = Dimension("a length", "500 m", {"m": 1}, {"m": ("m", "k")})
SPEED = Dimension("a speed", "1 m/s", {"m/s": 1, "km/h": Fraction(5, 18)})
POWER = Dimension("a power", "10 W", {"W": 1}, {"W": (*SMALL, "k", "M")})
ENERGY = Dimension(
    "an energy", "50 kJ", {"J": 1, "Wh": 3600}, {"J": (*SMALL, "k", "M", "G"), "Wh": ("m", "k")}
)
DATA = Dimension("a data size", "5 MB", {"bit": 1, "B": 8}, {"bit": BYTES, "B": BYTES})
MEMORY = Dimension("a memory size", "8 GiB", {"B": 1}, {"B": BYTES})
DATA_RATE = Dimension("a data rate", "10 Mbit/s", {"bit/s": 1}, {"bit/s": LARGE})
MEMORY_RATE = Dimension("a memory bandwidth", "25 GB/s", {"B/s": 1}, {"B/s": BYTES})
COMPUTE_RATE = Dimension(
    "a computing speed", "3.2 GFLOP/s", {"FLOP/s": 1}, {"FLOP/s": (*LARGE, "P")}
)
LEVEL = Dimension("a power level", "23 dBm", {"dBm": 1})
RATIO = Dimension("a ratio in decibels", "5 dB", {"dB": 1})

Hertz = Annotated[float, FREQUENCY]
Seconds = Annotated[float, TIME]
Metres = Annotated[float, LENGTH]
MetresPerSecond = Annotated[float, SPEED]
Watts = Annotated[float, POWER]
Joules = Annotated[float, ENERGY]
Bits = Annotated[float, DATA]
Bytes = Annotated[float, MEMORY]
BitsPerSecond = Annotated[float, DATA_RATE]
BytesPerSecond = Annotated[float, MEMORY_RATE]
Flops = Annotated[float, COMPUTE_RATE]
Dbm = Annotated[float, LEVEL]
Db = Annotated[float, RATIO]


class _Quantity(Quantity):
    """quantiphy with our units: '5 min' is minutes, not milli-inches, and '5 m' not 5 milli."""


_Quantity.set_prefs(known_units="m min m/s km/h", output_sf="PTGMkmun")
