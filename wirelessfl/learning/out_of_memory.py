"""A cohort that does not fit in the host's memory is trained in halves, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from wirelessfl.errors import InputError, reason
from wirelessfl.learning.local import LocalResult, LocalWork

Train = Callable[[Sequence[LocalWork]], list[LocalResult]]

_WORDS = (  # of torch's allocators, which raise plain RuntimeErrors off CUDA
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "defaultcpuallocator",
    "_alloc_failed",
)


def train_in_halves(
    train: Train, works: Sequence[LocalWork], on_halving: Callable[[], None]
) -> list[LocalResult]:
    """What `train` gives of a cohort, or of its halves where memory does not suffice.

    The results are those of the narrower passes: they are right, but may differ from the whole
    cohort's in their last bits, as they do with any other `cohort_width`.

    Args:
        train: Trains a cohort in one pass.
        works: The cohort, not empty.
        on_halving: Called each time that a cohort is halved.

    Raises:
        InputError: The memory does not suffice for one client.
    """
    try:
        return train(works)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        said = reason(error)
    # Not within `except`: the error's frames hold what the failed pass had allocated.
    torch.cuda.empty_cache()  # does nothing where CUDA is not in use
    if len(works) == 1:
        raise InputError(
            "learning: this machine has not enough memory to train even one client at a time "
            f"({said}); write a smaller learning.local.micro_batch or batch, a shorter "
            "sequence, or a smaller model"
        )
    on_halving()
    half = (len(works) + 1) // 2
    return [
        result
        for part in (works[:half], works[half:])
        for result in train_in_halves(train, part, on_halving)
    ]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in _WORDS)
