"""A PEFT model whose adapter and head are different for every client of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812
from torch.utils.hooks import RemovableHandle

from wirelessfl.learning.adapted import Adapted, adapted_linears
from wirelessfl.learning.layout import ADAPTER, Layout, trained_layers
from wirelessfl.learning.local import LocalWork
from wirelessfl.learning.packed_blocks import PackedBlocks
from wirelessfl.learning.task import Samples
from wirelessfl.learning.workbench import Frozen, Workbench


@dataclass(frozen=True)
class Dropout:
    """What is dropped in one pass of a cohort."""

    bench: Workbench
    works: Sequence[LocalWork]
    step: int
    number: int
    part: slice

    def __call__(self, x: Tensor, module: int, lengths: Tensor | None) -> Tensor:
        """A module's input `[clients, batch, (tokens,) width]` with some of it dropped.

        Args:
            x: The input.
            module: Number of the module.
            lengths: Tokens of each sample `[clients, batch]`; None if all are alike.
        """
        mask = torch.zeros_like(x)
        for n, work in enumerate(self.works):
            samples = len(range(work.rows.shape[1])[self.part])
            own = mask[n, :samples]
            if lengths is not None and samples:
                own = own[:, : int(lengths[n, :samples].max())]
            if samples:
                own[:] = self.bench.dropout_mask(
                    work,
                    step=self.step,
                    number=self.number,
                    module=module,
                    shape=tuple(own.shape),
                )
        return x * mask


Forward = Callable[[Tensor, Tensor | None, Samples, Tensor | None, Dropout | None], Tensor]


@contextmanager
def stacked_adapters(
    bench: Workbench, fused: bool = False, packed: PackedBlocks | None = None
) -> Iterator[Forward]:
    """Puts per-client adapters on the model for the length of the block.

    Args:
        bench: The model, and the places of its adapter's parameters.
        fused: Whether a layer with float32 weights and its adapter are one operation (see
            `adapted_linears`), which leaves no place for dropout or autocast; else the adapter is
            added as PEFT does, which is also what a device is taken to compute.
        packed: The model's blocks, to compute only what counts; fused too.

    Yields:
        A function of the stacked parameters `[clients, compact]`, of gain times scaling
        `[clients, modules]` (None for 1, which is then not computed), of the batch of all clients,
        client after client, `[clients x batch]` samples, of which of them count (0 where not;
        None if all do), and of what is dropped, that returns the logits `[clients x batch, ...]`.
    """
    model, layout = bench.model, bench.layout
    whole = bench.groups if fused else {}
    pass_ = _Pass(packed, bench.frozen, whole)
    fast = bench.fast_layers.applied() if fused else nullcontext()
    plain = model.get_base_model()
    handles: list[RemovableHandle] = []
    patched: list[nn.Module] = []
    try:
        for number, adapted in enumerate(layout.modules):
            module = bench.modules[adapted.name]
            if number in whole:
                vars(module)["forward"] = partial(pass_.fused, number)
                patched.append(module)
                continue
            handles.append(
                module.register_forward_hook(
                    lambda _, args, y, number=number: pass_.lora(number, args[0], y)
                )
            )
        for wrapper in dict.fromkeys(parameter.wrapper for parameter in layout.head):
            patched += _stack_trained(model, wrapper, pass_)

        def forward(
            parameters: Tensor,
            gains: Tensor | None,
            batch: Samples,
            valid: Tensor | None,
            dropout: Dropout | None,
        ) -> Tensor:
            pass_.begin(layout, parameters, gains, batch, dropout)
            if packed is not None:
                mask = batch.inputs.get("attention_mask")
                if mask is not None and valid is not None:
                    mask = mask * valid[:, None]
                packed.begin(mask, len(parameters))
            logits: Tensor = plain(**batch.inputs).logits
            return logits

        # PEFT's own adapters are still under the hooks; nothing is left of them where all are fused
        with (
            model.disable_adapter() if handles else nullcontext(),
            packed.applied(model) if packed is not None else nullcontext(),
            fast,
        ):
            yield forward
    finally:
        for module in patched:
            del vars(module)["forward"]
        for handle in handles:
            handle.remove()


class _Pass:
    """The parameters of the pass under way, by module."""

    def __init__(
        self,
        packed: PackedBlocks | None,
        frozen: Sequence[Frozen],
        groups: Mapping[int, Sequence[int]],
    ):
        self.packed, self.frozen, self.groups = packed, frozen, groups

    def begin(
        self,
        layout: Layout,
        parameters: Tensor,
        gains: Tensor | None,
        batch: Samples,
        dropout: Dropout | None,
    ) -> None:
        self.clients, self.samples = len(parameters), len(batch)
        self.dropout = dropout
        self.computed: dict[int, tuple[Tensor, Tensor]] = {}
        mask = batch.inputs.get("attention_mask")
        self.tokens = None if mask is None else mask.shape[1]
        self.lengths = None if mask is None else mask.sum(1).view(self.clients, -1)
        rank = (parameters.shape[1] - layout.head_size) // layout.component_size
        pieces = iter(torch.split(parameters, layout.compact_sizes(rank), dim=1))
        self.gains = None if gains is None else gains[..., None, None].unbind(1)
        self.factors = [
            (
                next(pieces).view(self.clients, rank, module.d_in),
                next(pieces).view(self.clients, rank, module.d_out),
            )
            for module in layout.modules
        ]
        self.head = {
            parameter.name: piece.view(self.clients, *parameter.shape)
            for piece, parameter in zip(pieces, layout.head, strict=True)
        }

    def lora(self, number: int, x: Tensor, y: Tensor) -> Tensor:
        a, b = self.factors[number]
        inputs = self.by_client(x)
        if self.dropout is not None:
            inputs = self._dropped(inputs, number)
        a = a if self.gains is None else a * self.gains[number]
        low = torch.bmm(inputs.to(a.dtype), a.mT)
        return torch.baddbmm(self.by_client(y).to(low.dtype), low, b).view(y.shape).to(y.dtype)

    def fused(self, number: int, x: Tensor) -> Tensor:
        """A layer with its adapter, and with it all others that read the same."""
        read, y = self.computed.pop(number, (None, None))
        if y is not None and read is x:
            return y
        assert self.gains is not None
        group, sizes = self.groups[number], None if self.packed is None else self.packed.sizes
        rows = x.reshape(-1, x.shape[-1])
        layers = [Adapted(*self.frozen[n], *self.factors[n], self.gains[n]) for n in group]
        for n, own in zip(group, adapted_linears(rows, layers, sizes), strict=True):
            self.computed[n] = x, own.view(*x.shape[:-1], own.shape[-1])
        return self.computed.pop(number)[1]

    def by_client(self, x: Tensor) -> Tensor:
        """`[clients, samples and tokens, width]`."""
        return x.reshape(self.clients, -1, x.shape[-1])

    def _dropped(self, inputs: Tensor, number: int) -> Tensor:
        assert self.dropout is not None
        clients, rows, width = inputs.shape
        batch = self.samples // clients
        sequence = self.tokens is not None and rows == batch * self.tokens
        shape = (clients, batch, width) if rows == batch else (clients, batch, rows // batch, width)
        dropped = self.dropout(inputs.view(shape), number, self.lengths if sequence else None)
        return dropped.view(inputs.shape)


def _stack_trained(model: PeftModel, wrapper: str, pass_: _Pass) -> list[nn.Module]:
    """Lets a trained module compute with the clients' own parameters; returns what is patched."""
    outer = model.get_submodule(wrapper)
    inner = model.get_submodule(f"{wrapper}.modules_to_save.{ADAPTER}")
    patched: list[nn.Module] = []
    for name, module in trained_layers(model, wrapper):
        if isinstance(module, nn.Linear):
            forward = partial(_linear, pass_, name)
        elif isinstance(module, nn.LayerNorm):
            forward = partial(_layer_norm, pass_, name, module)
        else:
            forward = partial(_one_by_one, pass_, name, copy.copy(module))
        vars(module)["forward"] = forward  # shadows the class's method
        patched.append(module)
    vars(outer)["forward"] = inner.__call__  # not the frozen original
    return [*patched, outer]


def _linear(pass_: _Pass, name: str, x: Tensor) -> Tensor:
    weight, bias = pass_.head[f"{name}.weight"], pass_.head.get(f"{name}.bias")
    stacked = pass_.by_client(x).to(weight.dtype)
    if bias is None:
        y = torch.bmm(stacked, weight.mT)
    else:
        y = torch.baddbmm(bias[:, None], stacked, weight.mT)
    return y.view(*x.shape[:-1], -1)


def _layer_norm(pass_: _Pass, name: str, module: nn.LayerNorm, x: Tensor) -> Tensor:
    weight, bias = pass_.head[f"{name}.weight"], pass_.head.get(f"{name}.bias")
    y = pass_.by_client(F.layer_norm(x, module.normalized_shape, eps=module.eps))
    y = y * weight[:, None] if bias is None else y * weight[:, None] + bias[:, None]
    return y.view(x.shape)


def _one_by_one(pass_: _Pass, name: str, module: nn.Module, x: Tensor) -> Tensor:
    """A layer of any other kind, an embedding say, computed client after client."""
    own = [key.removeprefix(f"{name}.") for key in pass_.head if key.rpartition(".")[0] == name]
    return torch.cat(
        [
            functional_call(module, {key: pass_.head[f"{name}.{key}"][n] for key in own}, (part,))
            for n, part in enumerate(x.chunk(pass_.clients))
        ]
    )
