"""One flat vector for the whole adapter, and the names it has in PEFT.

LoRA adds scaling * B A to a frozen weight: a sum of gamma rank-one *components* b_j a_j. The vector
holds, module after module, the components (a_j | b_j) one after another, then the trainable head:

    [ module 0: gamma x (d_in + d_out) | module 1: ... | head weight | head bias ]

A client that trains k components of every module holds a *compact* vector: for each module the
rows a_j `[k, d_in]`, then the columns b_j `[k, d_out]`, and last the head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from peft.utils import ModulesToSaveWrapper
from torch import nn

from wirelessfl.learning.jobs import Vector

ADAPTER = "default"


@dataclass(frozen=True)
class LoraModule:
    """Where one adapted linear layer's components lie in the vector."""

    name: str
    d_in: int
    d_out: int
    scaling: float
    offset: int


@dataclass(frozen=True)
class HeadParameter:
    """Where one fully trained parameter lies in the vector.

    Attributes:
        name: Its name in the PEFT model.
        wrapper: Name of the PEFT wrapper around the trained module it belongs to.
        shape: Its shape.
        offset: Its first place.
    """

    name: str
    wrapper: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """Places of every trainable parameter in the flat vector of `size` float32 numbers."""

    rank: int
    modules: tuple[LoraModule, ...]
    head: tuple[HeadParameter, ...]
    size: int

    @property
    def head_size(self) -> int:
        """Parameters of the trainable head."""
        return sum(parameter.size for parameter in self.head)

    @property
    def component_size(self) -> int:
        """Parameters of one rank-one component over all modules: sum of d_in + d_out."""
        return sum(module.d_in + module.d_out for module in self.modules)

    @property
    def dense_sizes(self) -> list[int]:
        """Parameters of the frozen weight of each module: d_in d_out."""
        return [module.d_in * module.d_out for module in self.modules]

    def dense(self, residual: Vector) -> list[Vector]:
        """Views `[d_out, d_in]` of each module's part of a change of the frozen weights."""
        pieces = np.split(residual, np.cumsum(self.dense_sizes)[:-1])
        return [
            piece.reshape(module.d_out, module.d_in)
            for piece, module in zip(pieces, self.modules, strict=True)
        ]

    def compact_sizes(self, rank: int) -> list[int]:
        """Lengths of the pieces of a compact vector: A and B of each module, then the head."""
        lora = [rank * d for module in self.modules for d in (module.d_in, module.d_out)]
        return lora + [parameter.size for parameter in self.head]

    def row_sizes(self, rank: int) -> list[int]:
        """Lengths of the rows of A and of B^T of each module, then of the head's tensors."""
        rows = [d for m in self.modules for d in (*[m.d_in] * rank, *[m.d_out] * rank)]
        return rows + [parameter.size for parameter in self.head]

    def compact_index(self, active: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places in the vector of the parameters of some components `[compact]`.

        Args:
            active: Components of each module `[modules, k]`.
        """
        table = [(module.offset, module.d_in, module.d_out) for module in self.modules]
        offset, d_in, d_out = np.array(table).T[..., None]
        a = offset + active * (d_in + d_out)
        starts = np.append(np.stack((a, a + d_in), axis=1), self.size - self.head_size)
        rows = np.repeat(np.hstack((d_in, d_out)), active.shape[1])
        sizes = np.append(rows, self.head_size)
        return np.repeat(starts - sizes.cumsum() + sizes, sizes) + np.arange(sizes.sum())

    def first_index(self, rank: int) -> NDArray[np.int64]:
        """Places of the first `rank` components of every module and of the head `[compact]`."""
        return self.compact_index(np.tile(np.arange(rank), (len(self.modules), 1)))

    def padded_index(self, rank: int, padded: int) -> NDArray[np.int64]:
        """Places of a compact vector of `rank` components in one of `padded` `[compact]`.

        What is left there belongs to components that are zero.
        """
        short, long = self.compact_sizes(rank), self.compact_sizes(padded)
        starts = np.cumsum([0, *long[:-1]])
        return np.concatenate(
            [start + np.arange(size) for start, size in zip(starts, short, strict=True)]
        )

    def factors(self, compact: Vector, rank: int) -> list[tuple[Vector, Vector]]:
        """Views of A `[k, d_in]` and B^T `[k, d_out]` of each module in a compact vector."""
        pieces = iter(np.split(compact, np.cumsum(self.compact_sizes(rank))[:-1]))
        return [
            (next(pieces).reshape(rank, module.d_in), next(pieces).reshape(rank, module.d_out))
            for module in self.modules
        ]

    def read(self, model: PeftModel) -> Vector:
        """The adapter that `model` holds now, as a flat vector."""
        parameters = dict(model.named_parameters())
        vector = np.empty(self.size, np.float32)
        with torch.no_grad():
            for module in self.modules:
                a = parameters[f"{module.name}.lora_A.{ADAPTER}.weight"]
                b = parameters[f"{module.name}.lora_B.{ADAPTER}.weight"]
                self.components(vector, module)[:] = torch.cat((a, b.T), dim=1).cpu().numpy()
            for parameter in self.head:
                piece = vector[parameter.offset :][: parameter.size]
                piece[:] = parameters[parameter.name].cpu().numpy().ravel()
        return vector

    def write(self, model: PeftModel, vector: Vector) -> None:
        """Makes `vector` the adapter that `model` holds.

        Raises:
            ValueError: The vector has another length.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"model vector has shape {vector.shape}, not ({self.size},)")
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for module in self.modules:
                components = torch.tensor(self.components(vector, module))
                a, b = torch.split(components, [module.d_in, module.d_out], dim=1)
                parameters[f"{module.name}.lora_A.{ADAPTER}.weight"].copy_(a)
                parameters[f"{module.name}.lora_B.{ADAPTER}.weight"].copy_(b.T)
            for parameter in self.head:
                piece = vector[parameter.offset :][: parameter.size]
                parameters[parameter.name].copy_(torch.tensor(piece.reshape(parameter.shape)))

    def components(self, vector: NDArray[Any], module: LoraModule) -> NDArray[Any]:
        """View `[gamma, d_in + d_out]` of one module's part of the vector."""
        width = module.d_in + module.d_out
        return vector[module.offset :][: self.rank * width].reshape(self.rank, width)


def layout_of(model: PeftModel) -> Layout:
    """Reads the layout off a PEFT model with LoRA on linear layers (or GPT-2's Conv1D)."""
    modules: list[LoraModule] = []
    head: list[tuple[str, str, tuple[int, ...]]] = []
    offset = rank = 0
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            rank, d_in = module.lora_A[ADAPTER].get_parameter("weight").shape
            d_out = len(module.lora_B[ADAPTER].get_parameter("weight"))
            modules.append(LoraModule(name, d_in, d_out, module.scaling[ADAPTER], offset))
            offset += rank * (d_in + d_out)
        elif isinstance(module, ModulesToSaveWrapper):
            trained = f"{name}.modules_to_save.{ADAPTER}"
            parameters = module.modules_to_save[ADAPTER].named_parameters()
            head += [(f"{trained}.{own}", name, tuple(p.shape)) for own, p in parameters]
    placed = []
    for full_name, wrapper, shape in head:
        placed.append(HeadParameter(full_name, wrapper, shape, offset))
        offset += placed[-1].size
    return Layout(rank, tuple(modules), tuple(placed), offset)


def trained_layers(model: PeftModel, wrapper: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers with parameters of their own in a trained module, by their names in the model."""
    prefix = f"{wrapper}.modules_to_save.{ADAPTER}"
    for name, module in model.get_submodule(prefix).named_modules():
        if list(module.parameters(recurse=False)):
            yield f"{prefix}.{name}".removesuffix("."), module
