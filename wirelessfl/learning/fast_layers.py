"""A model's layers that are one pass over memory here (`loops`), where transformers needs several.

Which of a model's layers they are is tried with random numbers, not taken from their names: many
that are called alike add one to their weights, cap, or interleave. What was not tried, another
precision or more arguments, is left to the model's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from wirelessfl.learning.loops import (
    gated,
    gated_backward,
    rms_norm,
    rms_norm_backward,
    rotate,
    rotate_backward,
)
from wirelessfl.learning.out_of_memory import is_out_of_memory

_ROUNDING = 1e-5  # of the largest number
_ROTATION = "apply_rotary_pos_emb"  # transformers' name for it, in the file of every model
_HEADS, _WIDTH = 3, 8  # of what a rotation is tried with


class FastLayers:
    """Those of a model on a CPU, in float32."""

    def __init__(self, model: PeftModel):
        found = [(module, _norm(module)) for module in model.modules()]
        with model.disable_adapter():  # whatever it holds, be it not finite
            found += [(module, _gate(module)) for module in model.modules()]
        self._layers = [(module, forward) for module, forward in found if forward is not None]
        files = {type(m).__module__ for m in model.modules()}
        self._rotations = [
            file for name in sorted(files) if _rotates(file := sys.modules.get(name))
        ]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model computes with them for the length of the block."""
        forwards = [vars(module).get("forward") for module, _ in self._layers]
        rotations = [vars(file)[_ROTATION] for file in self._rotations]
        try:
            for module, forward in self._layers:
                vars(module)["forward"] = forward  # shadows the class's method
            for file, original in zip(self._rotations, rotations, strict=True):
                vars(file)[_ROTATION] = partial(_rotated, original)
            yield
        finally:
            for (module, _), before in zip(self._layers, forwards, strict=True):
                vars(module).pop("forward", None)
                if before is not None:
                    vars(module)["forward"] = before
            for file, original in zip(self._rotations, rotations, strict=True):
                vars(file)[_ROTATION] = original


def _norm(module: nn.Module) -> Callable[..., Any] | None:
    """How to compute a layer that turns out to be a root mean square norm."""
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    named = "RMSNorm" in type(module).__name__
    if not (named and isinstance(weight, Tensor) and isinstance(eps, float)):
        return None
    if weight.requires_grad or not _fast(weight):
        return None
    x = _random(2, 5, len(weight)) * eps**0.5  # small enough for eps to count
    for own in (weight, weight + 1.0):
        forward = partial(_normed, module.forward, own.detach(), eps)
        if _same(module, forward, x):
            return forward
    return None


def _gate(module: nn.Module) -> Callable[..., Any] | None:
    """How to compute what turns out to be three linear layers around SwiGLU."""
    children = dict(module.named_children())
    if not {"gate_proj", "up_proj", "down_proj"}.issubset(children):
        return None
    layers = [children[f"{name}_proj"] for name in ("gate", "up", "down")]
    width = getattr(layers[0], "in_features", None)
    if not isinstance(width, int):
        return None
    forward = partial(_through_gate, module.forward, *layers)
    return forward if _same(module, forward, _random(2, 5, width)) else None


def _rotates(file: ModuleType | None) -> bool:
    """Whether the models in a file rotate queries and keys as `loops.rotate` does."""
    original = getattr(file, _ROTATION, None)
    if original is None:
        return False
    angles = _random(1, 5, _WIDTH), _random(1, 5, _WIDTH)

    def keys(function: Callable[..., Any]) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.cat(function(x, 2.0 * x, *angles), 1)

    x = _random(2, _HEADS, 5, _WIDTH)
    return _same(keys(original), keys(partial(_rotated, original)), x)


def _same(one: Callable[..., Any], other: Callable[..., Any], x: Tensor) -> bool:
    """Whether both give the same, and the same gradient."""
    found = []
    with torch.enable_grad():
        for function in (one, other):
            inputs = x.clone().requires_grad_()
            try:
                y = function(inputs)
                [gradient] = torch.autograd.grad(y.square().sum(), [inputs])
            except Exception as error:  # whatever a layer of another kind says to such an input
                if is_out_of_memory(error):
                    raise
                return False
            found.append(torch.cat([y.detach().flatten(), gradient.flatten()]))
    return bool((found[0] - found[1]).abs().max() <= _ROUNDING * found[0].abs().max())


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _fast(*arguments: Any) -> bool:
    return all(
        isinstance(x, Tensor) and x.device.type == "cpu" and x.dtype == torch.float32
        for x in arguments
    )


def _normed(
    original: Callable[..., Any], weight: Tensor, eps: float, /, *arguments: Any, **options: Any
) -> Any:
    """A norm, of its input alone."""
    if len(arguments) != 1 or options or not _fast(*arguments):
        return original(*arguments, **options)
    return _RmsNorm.apply(*arguments, weight, eps)  # type: ignore[no-untyped-call]


def _through_gate(
    original: Callable[..., Any],
    gate: nn.Module,
    up: nn.Module,
    down: nn.Module,
    /,
    *arguments: Any,
    **options: Any,
) -> Any:
    """Three layers around SwiGLU, of their input alone."""
    if len(arguments) != 1 or options or not _fast(*arguments):
        return original(*arguments, **options)
    [x] = arguments
    return down(_Gated.apply(gate(x), up(x)))  # type: ignore[no-untyped-call]


def _rotated(original: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
    """`_ROTATION`, of queries and keys `[samples, heads, tokens, width of a head]` and angles.

    Cosines and sines are `[samples or 1, tokens, width of a head]`.
    """
    if len(arguments) != 4 or options or not _fast(*arguments):
        return original(*arguments, **options)
    q, k, cos, sin = arguments
    known = cos.dim() == 3 and cos.shape == sin.shape and len(cos) in (1, len(q))
    if not known or any(x.dim() != 4 or x.shape[2:] != cos.shape[1:] for x in (q, k)):
        return original(*arguments)
    cos, sin = (x.detach().contiguous() for x in (cos, sin))
    return tuple(_Rotation.apply(x, cos, sin) for x in (q, k))  # type: ignore[no-untyped-call]


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x = x.detach().contiguous()
        y, scale = torch.empty_like(x), x.new_empty(x.shape[:-1])
        ctx.save_for_backward(x, weight, scale)
        rms_norm(_rows(x), weight.numpy(), eps, _rows(y), scale.view(-1).numpy())
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        dy, dx = gradients[0].contiguous(), torch.empty_like(x)
        rms_norm_backward(_rows(x), weight.numpy(), scale.view(-1).numpy(), _rows(dy), _rows(dx))
        return dx, None, None


class _Rotation(torch.autograd.Function):
    """Results lie in memory as attention reads them, tokens before heads."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x.detach().transpose(1, 2)
        y = x.new_empty(x.shape)
        ctx.save_for_backward(cos, sin)
        rotate(*_apart(x.flatten(2)), _rows(cos), _rows(sin), _heads(y))
        return y.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        dy = gradients[0].transpose(1, 2).contiguous()
        dx = torch.empty_like(dy)
        rotate_backward(_heads(dy), _rows(cos), _rows(sin), _heads(dx))
        return dx.transpose(1, 2), None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.detach(), up.detach()
        opened, y = gate.new_empty(gate.shape), gate.new_empty(gate.shape)
        ctx.save_for_backward(gate, up, opened)
        gated(*_apart(gate), *_apart(up), _rows(opened), _rows(y))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up, opened = ctx.saved_tensors
        dy, d_gate, d_up = (
            gradients[0].contiguous(),
            torch.empty_like(opened),
            torch.empty_like(opened),
        )
        rows = (_rows(x) for x in (opened, dy, d_gate, d_up))
        gated_backward(*_apart(gate), *_apart(up), *rows)
        return d_gate, d_up


def _rows(x: Tensor) -> Any:
    """`[rows, width]` of what is contiguous."""
    return x.view(-1, x.shape[-1]).numpy()


def _heads(x: Tensor) -> Any:
    """`[rows, heads, width of a head]` of what is contiguous."""
    return x.view(-1, *x.shape[2:]).numpy()


def _apart(x: Tensor) -> tuple[Any, int]:
    """The rows one after another with what lies between them, and how far apart they are."""
    rows = x.reshape(-1, x.shape[-1])
    rows = rows if rows.stride(1) == 1 else rows.contiguous()
    apart = rows.stride(0)
    numbers = max(0, (len(rows) - 1) * apart + rows.shape[1])
    return rows.as_strided((numbers,), (1,)).numpy(), apart
