"""What is learnt, by whom, and how: the `learning:` section of a scenario.

Data only: `wirelessfl.learning` turns it into models, data sets and gradients.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from wirelessfl.scenario.base import Config, MisfitError
from wirelessfl.scenario.base_model import HuggingFace, Model, SizedModel, TinyLm, TinyVit
from wirelessfl.scenario.local import LocalConfig
from wirelessfl.scenario.lora import LoraConfig
from wirelessfl.scenario.partition import DirichletPartition, NaturalPartition, Partition
from wirelessfl.scenario.privacy import PrivacyConfig
from wirelessfl.scenario.tasks import DigitsTask, NoTask, TableTask, Task, TextOptions


class LearningConfig(Config):
    """The `learning:` section."""

    task: Task = Field(default_factory=DigitsTask, description="Data to learn from")
    partition: Partition = Field(
        default_factory=DirichletPartition, description="Who holds which samples"
    )
    model: Model = Field(default_factory=TinyVit, description="Frozen base model")
    lora: LoraConfig = Field(default_factory=LoraConfig, description="Trainable adapter")
    local: LocalConfig = Field(default_factory=LocalConfig, description="A client's round")
    privacy: PrivacyConfig | None = Field(
        None, description="Clipping of updates and noise on their sum; null is none"
    )
    engine: Literal["cohort", "reference"] = Field(
        "cohort", description="Clients stacked into one pass, or one after another through PEFT"
    )
    cohort_width: PositiveInt | Literal["auto"] = Field(
        10, description="Clients in one stacked pass; auto chooses by the model's activations"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where torch computes")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16 computes most of the model in 16 bits (autocast)"
    )
    threads: int = Field(1, ge=1, description="Torch threads; results depend on this, not on OMP")

    @model_validator(mode="after")
    def _owners_are_known(self) -> Self:
        if isinstance(self.partition, NaturalPartition):
            if isinstance(self.task, NoTask):
                raise MisfitError(
                    ("partition",),
                    "of kind 'natural' depends on the data, and a timing-only run (task: "
                    "{kind: none}) has none; choose another kind, e.g. iid",
                )
            if isinstance(self.task, DigitsTask):
                raise MisfitError(
                    ("partition",), "of kind 'natural' needs owners; digits have none"
                )
            if isinstance(self.task, TableTask) and self.task.owner is None:
                raise MisfitError(
                    ("task",), "names no owner column, which partition: {kind: natural} goes by"
                )
        return self

    @model_validator(mode="after")
    def _only_weights_can_learn(self) -> Self:
        if isinstance(self.model, SizedModel) and not isinstance(self.task, NoTask):
            raise MisfitError(
                ("model",), "of kind 'sized' has no weights; it goes with task: {kind: none}"
            )
        if isinstance(self.model, HuggingFace) and isinstance(self.task, NoTask):
            raise MisfitError(
                ("model",),
                "of kind 'huggingface' is not opened where nothing is learnt; describe it with "
                "{kind: sized}",
            )
        if isinstance(self.model, TinyVit) and isinstance(self.task, TextOptions):
            raise MisfitError(("model",), "of kind 'tiny-vit' reads images, not text")
        if isinstance(self.model, TinyLm) and isinstance(self.task, DigitsTask):
            raise MisfitError(("model",), "of kind 'tiny-lm' reads text, not images")
        return self
