"""The blocks of a transformer, computing only what counts.

Nearly all of a transformer's time goes into its blocks, which but for attention compute token by
token. Two things of that are for nothing:

* Padding. The real tokens are packed as one sequence before the first block, and put back into
  their places after the last; attention goes by the function that transformers calls, which here
  knows the sequences (`packing`). Embeddings and heads see the padded batch as ever.
* What a head does not read. Most classifiers read a sequence's first token, of which the last block
  needs the keys and values of all tokens, but else that token alone. So it is run twice: with all
  tokens as far as its attention, and with the first ones from there.

This rests on how a model is written: one list of blocks, whose attention is by transformers'
`AttentionInterface` and knows of positions nothing but what is added to or rotated in its inputs.
So it is tried with samples before it is trusted (`packable`); relative positions fail that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from peft import PeftModel
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from wirelessfl.learning.packing import Packing

_WORTH = 5e7  # multiplications of a pass from which it pays for 1 to 2 ms of operators (x86)
_HARMLESS = {
    "cache_position",
    "cu_seq_lens_k",
    "cu_seq_lens_q",
    "deterministic",
    "dropout",
    "max_length_k",
    "max_length_q",
    "output_attentions",
    "output_hidden_states",
    "position_ids",
    "use_cache",
}
"""Options of transformers' attention that change nothing of it here."""


class _AttentionReachedError(Exception):
    """The last block has its keys and values, which are the arguments."""


class PackedBlocks:
    """A model's blocks.

    Attributes:
        tokens: Tokens of a sample, where all have as many.
        first_only: Whether the head reads nothing but a sequence's first token.
        rows: Of all clients, within the blocks of a pass; 0 outside of them.
        sizes: Rows of each client; None outside of the blocks, and where all have as many.
    """

    def __init__(self, blocks: nn.ModuleList, tokens: int, first_only: bool):
        self.tokens, self.first_only = tokens, first_only
        self.rows = 0
        self.sizes: list[int] | None = None
        self._blocks = blocks
        self._parameters = sum(p.numel() for p in blocks.parameters() if not p.requires_grad)
        self._whole: dict[tuple[int, ...], Packing] = {}
        self._stop = False
        self._keys_values: tuple[Tensor, Tensor] | None = None
        self.begin(None, 1)

    def worth_it(self, tokens: int) -> bool:
        """Whether passes of so many tokens get faster."""
        return tokens * self._parameters >= _WORTH

    def begin(self, mask: Tensor | None, clients: int) -> None:
        """The batch of the next pass.

        Args:
            mask: Not zero where a token is real, else as `Packing` takes it; None if all are.
            clients: As `Packing` takes it.
        """
        self._mask, self._clients = mask, clients
        self._packing: Packing | None = None
        self._packed: dict[int, tuple[Tensor, Tensor]] = {}

    @contextmanager
    def applied(self, model: PeftModel) -> Iterator[None]:
        """The model computes like this for the length of the block."""
        config: Any = model.get_base_model().config
        last, name = self._blocks[-1], f"packed {id(self)}"
        before, forward = config._attn_implementation, vars(last).get("forward")
        handles = [
            block.register_forward_pre_hook(self._enter, with_kwargs=True) for block in self._blocks
        ]
        handles.append(last.register_forward_hook(self._leave))
        if self.first_only:
            vars(last)["forward"] = partial(self._first_tokens, last.forward)
        config._attn_implementation = name
        ALL_ATTENTION_FUNCTIONS[name] = self._attention
        try:
            yield
        finally:
            ALL_ATTENTION_FUNCTIONS.pop(name)
            config._attn_implementation = before
            vars(last).pop("forward", None)
            if forward is not None:
                vars(last)["forward"] = forward
            for handle in handles:
                handle.remove()
            self._set(0, None)
            self.begin(None, 1)

    def _set(self, rows: int, sizes: list[int] | None) -> None:
        self.rows, self.sizes = rows, sizes

    def _enter(self, _: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Packs what enters a block: the first one's input, and all else that is by token."""
        hidden, *others = args
        if self._packing is None:
            self._packing = self._pack(hidden)
        if not self.rows:
            hidden = self._packing.pack(hidden)
            self._set(self._packing.rows, self._packing.sizes)
        return (hidden, *_mapped(self._by_token, others)), _mapped(self._by_token, kwargs)

    def _pack(self, hidden: Tensor) -> Packing:
        """The packing of the batch under way, of which the first block's input is known."""
        if self._mask is not None:
            mask = self._mask.cpu().numpy().astype(bool)
            return Packing(mask, self._clients, hidden.device)
        key = (*hidden.shape[:2], self._clients)
        if key not in self._whole:
            whole = np.ones(hidden.shape[:2], bool)
            self._whole[key] = Packing(whole, self._clients, hidden.device)
        return self._whole[key]

    def _by_token(self, value: Tensor) -> Tensor:
        assert self._packing is not None
        if value.dim() < 2:
            return value
        samples, tokens = self._packing.shape
        if value.shape[0] not in (1, samples) or value.shape[1] != tokens:
            return value
        if id(value) not in self._packed:  # every block is given the same
            self._packed[id(value)] = value, self._packing.pack(value)
        return self._packed[id(value)][1]

    def _first_tokens(self, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The last block, for the samples' first tokens.

        Up to its attention it runs with all tokens, and what it computes besides keys and values
        is dropped.
        """
        assert self._packing is not None
        rows, firsts = hidden.shape[1], self._packing.firsts

        def alone(value: Tensor) -> Tensor:
            return firsts(value) if value.dim() > 1 and value.shape[1] == rows else value

        self._stop = True
        try:
            forward(hidden, *args, **kwargs)
        except _AttentionReachedError as reached:
            self._keys_values = reached.args
        finally:
            self._stop = False
        self._set(self._packing.shape[0], None)
        try:
            return forward(alone(hidden), *_mapped(alone, args), **_mapped(alone, kwargs))
        finally:
            self._keys_values = None

    def _leave(self, _: nn.Module, args: Any, output: Any) -> Any:
        assert self._packing is not None
        packing = self._packing
        self._set(0, None)
        unpack = packing.unpack_firsts if self.first_only else packing.unpack
        if isinstance(output, Tensor):
            return unpack(output)
        return (unpack(output[0]), *output[1:])

    def _attention(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        is_causal: bool | None = None,
        sliding_window: int | None = None,
        **others: Any,
    ) -> tuple[Tensor, None]:
        """As transformers calls it.

        Raises:
            ValueError: The model asks for more than attention to whole sequences.
        """
        assert self._packing is not None
        asked = [name for name, value in others.items() if value is not None]
        if not _HARMLESS.issuperset(asked) or (sliding_window or math.inf) < self._packing.longest:
            raise ValueError(f"attention with a window of {sliding_window} and {asked}")
        if self._stop:
            raise _AttentionReachedError(key, value)
        firsts = self._keys_values is not None
        key, value = self._keys_values or (key, value)
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        return self._packing.attention(query, key, value, scaling, causal, firsts), None


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """What a block is called with, its tensors changed."""
    if isinstance(value, Tensor):
        return function(value)
    if type(value) in (tuple, list):
        return type(value)(_mapped(function, one) for one in value)
    if isinstance(value, dict):
        return {key: _mapped(function, one) for key, one in value.items()}
    return value
