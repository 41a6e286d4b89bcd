"""From the `learning` section to a base model and the task as it reads it."""

from __future__ import annotations

from wirelessfl.learning.base import Base, Progress
from wirelessfl.learning.digits import digits_task
from wirelessfl.learning.pydoc import pydoc_corpus
from wirelessfl.learning.task import Task
from wirelessfl.learning.texts import encode
from wirelessfl.learning.tiny_lm import tiny_lm
from wirelessfl.learning.tiny_vit import tiny_vit
from wirelessfl.scenario.learning import LearningConfig, PydocTask, TinyLm, TinyVit


def assemble(config: LearningConfig, progress: Progress | None = None) -> tuple[Base, Task]:
    """The base model, with a fresh head for the task if it needs one, and the task.

    Raises:
        InputError: If a file cannot be used, or the model does not go with the task.
    """
    if isinstance(config.task, PydocTask):
        assert isinstance(config.model, TinyLm)
        base = tiny_lm(config.model, progress=progress)
        assert base.tokenizer is not None
        return base, encode(pydoc_corpus(), base.tokenizer, config.task.max_tokens)
    task = digits_task()
    assert isinstance(config.model, TinyVit)
    return tiny_vit(config.model, task, progress), task
