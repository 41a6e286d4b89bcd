"""What one local step costs a device, counted while it runs rather than derived by hand.

The cost is bilinear in samples and components, so four counted steps give it everywhere: FLOPs
exactly, bytes within half a percent from two samples on (with one, torch copies less). FLOPs are
those of matrix products (torch's counter); bytes are all operands read and results written by every
operator, without any cache; activations are what autograd keeps for the backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from wirelessfl.learning.stacked import stacked_adapters
from wirelessfl.learning.task import sample_losses
from wirelessfl.learning.workbench import Workbench
from wirelessfl.learning.workload import Bilinear, StepCost


def count_step_cost(bench: Workbench) -> StepCost:
    """Counts four steps of the model (2 and 4 samples, 2 and 4 components) and interpolates."""
    counts = {(m, k): count_step(bench, m, k) for m in (2, 4) for k in (2, 4)}
    return StepCost(*(_through(counts, quantity) for quantity in range(3)))


def count_step(bench: Workbench, batch: int, rank: int) -> tuple[int, int, int]:
    """FLOPs, bytes and activation bytes of one client's training step.

    Args:
        bench: The model, and the source of a batch of the right shape.
        batch: Samples in the step.
        rank: Components per module; the cost does not depend on which, so it may exceed gamma.
    """
    size = sum(bench.layout.compact_sizes(rank))
    parameters = torch.zeros(1, size, requires_grad=True, device=bench.device)
    rows = torch.arange(batch, device=bench.device)
    samples = bench.samples.take(rows)
    kept = _Kept([*bench.model.parameters(), parameters])
    flops, traffic = FlopCounterMode(display=False), _Traffic()
    with (
        stacked_adapters(bench) as forward,
        sdpa_kernel(SDPBackend.MATH),  # the only attention on CPUs that the counter sees into
        flops,
        traffic,
    ):
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
            loss = sample_losses(
                forward(parameters, None, samples, None, None), samples.labels
            ).mean()
        torch.autograd.grad([loss], [parameters])
    return flops.get_total_flops(), traffic.bytes, kept.bytes


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes that operators read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            leaves = tree_leaves((args, kwargs, result))
            self.bytes += sum(x.numel() * x.element_size() for x in leaves if isinstance(x, Tensor))
        return result


class _Kept:
    """Adds up the distinct storages that autograd saves, weights aside."""

    def __init__(self, weights: Sequence[Tensor]):
        self._seen = {weight.untyped_storage().data_ptr() for weight in weights}
        self._alive: list[Tensor] = []
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self._alive.append(tensor)  # so that its address is not used again
            self.bytes += storage.nbytes()
        return tensor


def _through(counts: Mapping[tuple[int, int], Sequence[int]], quantity: int) -> Bilinear:
    """The bilinear function through the counted points."""
    design = [[1, k, m, m * k] for m, k in counts]
    values = [count[quantity] for count in counts.values()]
    return Bilinear(*np.linalg.solve(np.array(design, float), np.array(values, float)).tolist())
