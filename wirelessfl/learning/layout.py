"""One flat vector for the whole adapter, and the names it has in PEFT.

LoRA adds scaling * B A to a frozen weight: a sum of gamma rank-one *components* b_j a_j. The vector
holds, module after module, the components (a_j | b_j) one after another, then the trainable head:

    [ module 0: gamma x (d_in + d_out) | module 1: ... | head weight | head bias ]

so a client that trains k of gamma components holds k rows of every module, and the head.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """Where one fully trained parameter lies in the vector."""

    name: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Layout:
    """Places of every trainable parameter in the flat vector of `size` float32 numbers."""

    rank: int
    modules: tuple[LoraModule, ...]
    head_name: str
    head: tuple[HeadParameter, ...]
    size: int

    @property
    def head_size(self) -> int:
        """Parameters of the trainable head."""
        return sum(int(np.prod(parameter.shape)) for parameter in self.head)

    @property
    def component_size(self) -> int:
        """Parameters of one rank-one component over all modules: sum of d_in + d_out."""
        return sum(module.d_in + module.d_out for module in self.modules)

    def compact_sizes(self, rank: int) -> list[int]:
        """Lengths of the pieces of a compact vector: A and B of each module, then the head."""
        lora = [rank * d for module in self.modules for d in (module.d_in, module.d_out)]
        return lora + [int(np.prod(parameter.shape)) for parameter in self.head]

    def compact_index(self, active: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places in the vector of the parameters that clients train.

        Args:
            active: Components each client trains in each module `[clients, modules, k]`; -1 pads a
                client that trains fewer.

        Returns:
            `[clients, compact]`: for each module the rows a_j `[k, d_in]`, then the columns b_j
            `[k, d_out]`, then the head. Padding points one past the end of the vector.
        """
        clients, _, k = active.shape
        pieces = []
        for m, module in enumerate(self.modules):
            start = module.offset + active[:, m, :, None] * (module.d_in + module.d_out)
            for first, width in ((0, module.d_in), (module.d_in, module.d_out)):
                place = start + first + np.arange(width)
                place[active[:, m] < 0] = self.size
                pieces.append(place.reshape(clients, k * width))
        head = np.arange(self.size - self.head_size, self.size)
        pieces.append(np.broadcast_to(head, (clients, head.size)))
        return np.concatenate(pieces, axis=1)

    def read(self, model: PeftModel) -> Vector:
        """The adapter that `model` holds now, as a flat vector."""
        parameters = dict(model.named_parameters())
        vector = np.empty(self.size, np.float32)
        with torch.no_grad():
            for module in self.modules:
                a = parameters[f"{module.name}.lora_A.{ADAPTER}.weight"]
                b = parameters[f"{module.name}.lora_B.{ADAPTER}.weight"]
                self._components(vector, module)[:] = torch.cat((a, b.T), dim=1).numpy()
            for parameter in self.head:
                piece = vector[parameter.offset :][: int(np.prod(parameter.shape))]
                piece[:] = parameters[parameter.name].numpy().ravel()
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
                components = torch.tensor(self._components(vector, module))
                a, b = torch.split(components, [module.d_in, module.d_out], dim=1)
                parameters[f"{module.name}.lora_A.{ADAPTER}.weight"].copy_(a)
                parameters[f"{module.name}.lora_B.{ADAPTER}.weight"].copy_(b.T)
            for parameter in self.head:
                piece = vector[parameter.offset :][: int(np.prod(parameter.shape))]
                parameters[parameter.name].copy_(torch.tensor(piece.reshape(parameter.shape)))

    def _components(self, vector: Vector, module: LoraModule) -> Vector:
        """View `[gamma, d_in + d_out]` of one module's part of the vector."""
        width = module.d_in + module.d_out
        return vector[module.offset :][: self.rank * width].reshape(self.rank, width)


def layout_of(model: PeftModel) -> Layout:
    """Reads the layout off a PEFT model with LoRA on linear layers and one trained linear head."""
    modules: list[LoraModule] = []
    heads: list[tuple[str, nn.Module]] = []
    offset = 0
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            d_out, d_in = module.get_base_layer().get_parameter("weight").shape
            modules.append(LoraModule(name, d_in, d_out, module.scaling[ADAPTER], offset))
            rank = module.r[ADAPTER]
            offset += rank * (d_in + d_out)
        elif isinstance(module, ModulesToSaveWrapper):
            heads.append((name, module.modules_to_save[ADAPTER]))
    [(head_name, head_module)] = heads
    head = []
    for name, parameter in head_module.named_parameters():
        full_name = f"{head_name}.modules_to_save.{ADAPTER}.{name}"
        head.append(HeadParameter(full_name, tuple(parameter.shape), offset))
        offset += parameter.numel()
    return Layout(rank, tuple(modules), head_name, tuple(head), offset)
