"""Data of the user's own: what a class named by `task: {kind: custom}` must be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirelessfl.learning.task import Task
    from wirelessfl.learning.texts import Corpus


class DataSource(ABC):
    """Where a task's samples come from, the same in every process and for every seed."""

    @abstractmethod
    def data(self) -> Corpus | Task:
        """Texts, which the model's tokenizer then cuts and pads, or images as models read them.

        The inputs of images are `pixel_values` [samples, channels, side, side].
        """
