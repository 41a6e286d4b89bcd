"""Cross-entropy over a vocabulary without the logits of a whole batch.

Logits are by far the largest tensor of a small language model: tokens x vocabulary, read and
written several times by a softmax and its backward pass. Here they exist a few rows at a time, only
for tokens that are predicted, and leave behind the loss and its gradient in the hidden state,

    dl/dh = (softmax(W h + c) - onehot(token)) W,

since the head W is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from wirelessfl.learning.products import linear
from wirelessfl.learning.task import IGNORED, Samples, sample_losses

_RARE = 1e-30  # a token's probability below which float32 does not do
_CHUNK = 1 << 18  # logits at a time: 1 MiB, a second-level cache


@contextmanager
def losses_of(
    model: PeftModel, head: nn.Linear | None
) -> Iterator[Callable[[Tensor, Tensor], Tensor]]:
    """What turns the model's output and the labels into the loss of each sample.

    Args:
        model: The model; with a head, its output in the block is what the head would read.
        head: See `vocabulary_head`; None leaves the model alone.
    """
    if head is None:
        yield sample_losses
        return
    vars(head)["forward"] = lambda hidden: hidden  # shadows the class's method
    try:
        yield partial(token_losses, head=head)
    finally:
        del vars(head)["forward"]


def vocabulary_head(model: PeftModel, samples: Samples) -> nn.Linear | None:
    """The frozen float32 layer whose output is the model's logits, untouched; None if none is.

    Some models cap or scale what their head gives, so it is tried with one sample.
    """
    base = model.get_base_model()
    assert isinstance(base, PreTrainedModel)
    head = base.get_output_embeddings()  # type: ignore[no-untyped-call]
    if samples.labels.ndim == 1 or type(head) is not nn.Linear:
        return None
    if head.weight.requires_grad or head.weight.dtype != torch.float32:
        return None
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda _, args, y: seen.append(y))
    try:
        with torch.no_grad():
            first = samples.take(torch.zeros(1, dtype=torch.int64, device=samples.labels.device))
            logits = model(**first.inputs).logits
    finally:
        handle.remove()
    return head if len(seen) == 1 and seen[0] is logits else None


def token_losses(hidden: Tensor, labels: Tensor, head: nn.Linear) -> Tensor:
    """Cross-entropy of each sample, summed over its predicted tokens, as `sample_losses` has it.

    Args:
        hidden: What the head would read `[samples, length, width]`.
        labels: As `Samples.labels` `[samples, length]`.
        head: The frozen layer over the vocabulary.

    Returns:
        `[samples]`
    """
    losses: Tensor = _TokenLosses.apply(  # type: ignore[no-untyped-call]
        hidden, labels, head.weight, head.bias
    )
    return losses


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, labels: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        sample, place = torch.nonzero(labels[:, 1:] != IGNORED, as_tuple=True)
        states, tokens = hidden[sample, place], labels[sample, place + 1]
        gradient, each = torch.empty_like(states), states.new_empty(len(states))
        size = max(1, min(_CHUNK // len(weight), len(states)))
        rooms = states.new_empty(2, size, len(weight))  # the same memory for all stays in the cache
        for first in range(0, len(states), size):
            chunk = slice(first, first + size)
            own = tokens[chunk, None]
            room, error = rooms[:, : len(own)]
            # The last chunk has a shape that hardly recurs (see `products`).
            product = partial(linear, out=room) if len(own) == size else F.linear
            logits = product(states[chunk], weight, bias)
            torch.softmax(logits, 1, out=error)
            likely = error.gather(1, own)[:, 0]
            each[chunk] = -likely.log()
            if (likely < _RARE).any():  # too near zero, maybe there
                exact = logits.logsumexp(1) - logits.gather(1, own)[:, 0]
                each[chunk] = torch.where(likely < _RARE, exact, each[chunk])
            error.scatter_add_(1, own, error.new_full(own.shape, -1.0))
            product = partial(linear, out=gradient[chunk]) if len(own) == size else F.linear
            gradient[chunk] = product(error, weight.mT)
        ctx.save_for_backward(sample, place, gradient)
        ctx.shape = hidden.shape
        return each.new_zeros(len(hidden)).index_add_(0, sample, each)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        sample, place, gradient = ctx.saved_tensors
        inward = gradient.new_zeros(ctx.shape)
        inward[sample, place] = gradient * gradients[0][sample, None]
        return inward, None, None, None
