"""An adapter so small that everything a round can draw is enumerated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.layout import HeadParameter, Layout, LoraModule
from wirelessfl.learning.methods.fslora import FsLora

LAYOUT = Layout(
    rank=3,
    modules=(LoraModule("a", 2, 1, 1.0, 0), LoraModule("b", 1, 2, 1.0, 9)),
    head=(HeadParameter("h", "h", (2,), 18),),
    size=20,
)


class ChosenSketches(FsLora):
    """`FsLora` whose sketches a test chooses."""

    def __init__(self, whole_forward: bool = False) -> None:
        super().__init__(LAYOUT, seed=0, whole_forward=whole_forward)
        self.chosen: dict[int, tuple[int, ...]] = {}

    def active(self, job: GradientJob) -> NDArray[np.int64]:
        return np.tile(np.array(self.chosen[job.client]), (len(LAYOUT.modules), 1))
