"""What local training needs besides the clients' work, the same for both engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from wirelessfl import randomness
from wirelessfl.learning.fast_layers import FastLayers
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalWork
from wirelessfl.learning.packable import packed_blocks
from wirelessfl.learning.packed_blocks import PackedBlocks
from wirelessfl.learning.siblings import siblings
from wirelessfl.learning.stackable import unstackable
from wirelessfl.learning.task import Samples
from wirelessfl.learning.token_loss import vocabulary_head
from wirelessfl.scenario.local import LocalConfig

Frozen = tuple[Tensor, Tensor | None]
"""Weight `[d_out, d_in]` and bias of a layer."""


@dataclass(frozen=True, eq=False)
class Workbench:
    """The model on its device, the data, and how to train.

    Attributes:
        model: The PEFT model, in evaluation mode: the frozen base has no dropout of its own.
        layout: Places of the adapter's parameters.
        samples: Training set that the works' rows refer to, on the model's device.
        local: Local optimiser.
        dropout: Probability that a number entering A is dropped.
        half: Whether to compute in bfloat16 where torch thinks that is safe.
        seed: The scenario's seed, for dropout.
    """

    model: PeftModel
    layout: Layout
    samples: Samples
    local: LocalConfig
    dropout: float = 0.0
    half: bool = False
    seed: int = 0

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.samples.labels.device

    @cached_property
    def modules(self) -> Mapping[str, nn.Module]:
        """The model's layers by name: to find all anew takes a client as long as a small layer."""
        return dict(self.model.named_modules())

    @cached_property
    def vocabulary_head(self) -> nn.Linear | None:
        """See `token_loss.vocabulary_head`; None where autocast would choose its precision."""
        return None if self.half else vocabulary_head(self.model, self.samples)

    @cached_property
    def unstackable(self) -> str | None:
        """See `stackable.unstackable`."""
        return unstackable(self.model, self.layout, self.samples)

    @cached_property
    def fast_layers(self) -> FastLayers:
        """The model's layers that need fewer passes over memory here."""
        return FastLayers(self.model)

    @cached_property
    def frozen(self) -> list[Frozen]:
        """What the adapted layers have besides their adapters, in the order of the layout."""
        return [_frozen(self.modules[adapted.name]) for adapted in self.layout.modules]

    @cached_property
    def groups(self) -> Mapping[int, Sequence[int]]:
        """Of each layer with float32 weights, by number, all of those that read what it reads."""
        whole = [weight.dtype == torch.float32 for weight, _ in self.frozen]
        found = siblings(self.model, self.layout, self.samples)
        groups = [[n for n in group if whole[n]] for group in found]
        return {n: group for group in groups for n in group}

    @cached_property
    def packed_blocks(self) -> PackedBlocks | None:
        """See `packable.packed_blocks`.

        None with dropout, which draws by padded batch, and where logits of a vocabulary are not
        made a few at a time: passes by length have fewer of them at once.
        """
        whole_logits = self.samples.labels.ndim == 2 and self.vocabulary_head is None
        if self.dropout or self.half or whole_logits:
            return None
        return packed_blocks(self.model, self.layout, self.samples)

    def precision(self) -> AbstractContextManager[object]:
        """The block computes in the chosen precision."""
        if not self.half:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def passes(self, batch: int) -> list[slice]:
        """The parts of a batch that go through the model one after another."""
        size = self.local.micro_batch or batch
        return [slice(first, first + size) for first in range(0, batch, size)]

    def dropout_mask(
        self, work: LocalWork, *, step: int, number: int, module: int, shape: tuple[int, ...]
    ) -> Tensor:
        """0 where a client's input of one module is dropped, else 1 / (1 - p).

        Drawn on the CPU from (seed, client, round, step, pass, module), for the client's own batch
        without padding, so that it does not depend on who else is computed beside it.

        Args:
            work: Whose it is.
            step: Local step.
            number: Number of the pass within the step.
            module: Number of the module.
            shape: Samples, tokens (if any) and width.
        """
        seed = randomness.subseed(
            self.seed, "dropout", work.client, work.round, step, number, module
        )
        draws = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
        kept = (draws >= self.dropout).float() / (1.0 - self.dropout)
        return kept.to(self.device)


def _frozen(module: nn.Module) -> Frozen:
    """Of the layer that an adapter is on."""
    assert isinstance(module, LoraLinear)
    base = module.get_base_layer()
    weight = base.get_parameter("weight")
    bias = getattr(base, "bias", None)
    return weight.T if module.fan_in_fan_out else weight, bias
