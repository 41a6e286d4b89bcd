"""The learning room's front door: real LoRA gradients for jobs, and real quality for models."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch.nn import functional as F  # noqa: N812

from wirelessfl.learning.adapter import add_adapter
from wirelessfl.learning.cohort import train_cohort
from wirelessfl.learning.cost import count_step_cost
from wirelessfl.learning.digits import digits_task
from wirelessfl.learning.jobs import GradientJob, Update, Vector
from wirelessfl.learning.layout import ADAPTER, layout_of
from wirelessfl.learning.local import LocalWork, local_batches
from wirelessfl.learning.partition import partition
from wirelessfl.learning.reference import train_one_by_one
from wirelessfl.learning.sketch import active_components
from wirelessfl.learning.task import Task
from wirelessfl.learning.threads import torch_threads
from wirelessfl.learning.tiny_vit import HEAD, Progress, tiny_vit
from wirelessfl.learning.workload import Workload
from wirelessfl.scenario.learning import LearningConfig, TinyVit

_EVALUATION_BATCH = 128

_ENGINES = {"cohort": train_cohort, "reference": train_one_by_one}


def build_learner(
    config: LearningConfig, clients: int, seed: int, progress: Progress | None = None
) -> Learner:
    """Everything a run needs to learn.

    Args:
        config: The scenario's `learning` section.
        clients: Number of clients.
        seed: The scenario's seed: partition, adapter, sketches and batches follow from it.
        progress: Told how far slow first-time work is: what, and the fraction done.

    Raises:
        InputError: The section asks for something the task or the model cannot give.
    """
    assert isinstance(config.model, TinyVit)
    task = digits_task()
    base = tiny_vit(config.model, task, progress)
    model = add_adapter(base, config.lora, HEAD, seed)
    return Learner(config, task, model, clients, seed)


class Learner:
    """Trains clients and evaluates global models, all given as flat float32 vectors.

    Attributes:
        clients: Number of clients.
        samples: |D_n|, samples each client holds `[clients]`.
        rank: gamma, components per adapted layer.
        parameters: Length of a model vector.
        initial: The model before any training `[parameters]`.
    """

    def __init__(
        self, config: LearningConfig, task: Task, model: PeftModel, clients: int, seed: int
    ):
        self.clients = clients
        self._config, self._task, self._model, self._seed = config, task, model, seed
        self._owned = partition(config.partition, task.train.labels.numpy(), clients, seed)
        self.samples = np.array([len(rows) for rows in self._owned])
        self._layout = layout_of(model)
        self.rank, self.parameters = self._layout.rank, self._layout.size
        self.initial = self._layout.read(model)
        self.initial.setflags(write=False)
        self._evaluated: dict[bytes, dict[str, float]] = {}

    @cached_property
    def workload(self) -> Workload:
        """What training costs clients, counted while a step of the real model runs."""
        with torch_threads(self._config.threads):
            step = count_step_cost(self._model, self._layout, self._task.train)
        base = sum(p.numel() * p.element_size() for p in self._model.get_base_model().parameters())
        return Workload(
            samples=self.samples,
            rank=self.rank,
            component_size=self._layout.component_size,
            head_size=self._layout.head_size,
            base_bytes=base - self.initial.nbytes,
            step=step,
            local=self._config.local,
        )

    def train(self, jobs: Sequence[GradientJob], models: Mapping[int, Vector]) -> list[Update]:
        """Runs local training for every job.

        Jobs are sorted by (version, round, client) and cut into cohorts of `cohort_width`. What a
        job returns depends on its fields and its model alone; the cohort it lands in can move only
        the last bits, so the same call gives the same bytes.

        Args:
            jobs: Any clients, rounds, ranks and start versions.
            models: Global model `[parameters]` of every version that the jobs name.

        Returns:
            One update per job, in the order of the jobs.

        Raises:
            DivergedError: A client's training was not finite.
            ValueError: A job names a client, rank or version that does not exist.
        """
        for job in jobs:
            self._check(job, models)
        order = sorted(
            range(len(jobs)), key=lambda i: (jobs[i].version, jobs[i].round, jobs[i].client)
        )
        engine, width = _ENGINES[self._config.engine], self._config.cohort_width
        updates: dict[int, Update] = {}
        with torch_threads(self._config.threads):
            for first in range(0, len(order), width):
                cohort = order[first : first + width]
                works = [self._work(jobs[i], models[jobs[i].version]) for i in cohort]
                trained = engine(
                    self._model, self._layout, self._task.train, self._config.local, works
                )
                updates.update(zip(cohort, trained, strict=True))
        return [updates[i] for i in range(len(jobs))]

    def evaluate(self, model: Vector) -> dict[str, float]:
        """Mean cross-entropy and accuracy on the held-out test set; remembered per model."""
        digest = hashlib.blake2b(model.tobytes(), digest_size=16).digest()
        if digest not in self._evaluated:
            self._layout.write(self._model, model)
            with torch_threads(self._config.threads), torch.inference_mode():
                test = self._task.test
                logits = torch.cat(
                    [
                        self._model(part).logits
                        for part in torch.split(test.inputs, _EVALUATION_BATCH)
                    ]
                )
                self._evaluated[digest] = {
                    "loss": F.cross_entropy(logits, test.labels).item(),
                    "accuracy": (logits.argmax(1) == test.labels).float().mean().item(),
                }
        return dict(self._evaluated[digest])

    def save_adapter(self, model: Vector, folder: Path) -> None:
        """Writes the model as a PEFT adapter that `PeftModel.from_pretrained` loads."""
        self._layout.write(self._model, model)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            get_peft_model_state_dict(self._model),
            folder / "adapter_model.safetensors",
            metadata={"format": "pt"},
        )
        config = copy.copy(self._model.peft_config[ADAPTER])
        # PEFT keeps the names in a set, and a set is not written in the same order every time.
        config.target_modules = sorted(config.target_modules)  # type: ignore[attr-defined]
        config.save_pretrained(str(folder))

    def _check(self, job: GradientJob, models: Mapping[int, Vector]) -> None:
        if not 0 <= job.client < self.clients:
            raise ValueError(f"{job}: there are {self.clients} clients")
        if not 1 <= job.rank <= self.rank:
            raise ValueError(f"{job}: the rank must be 1 to {self.rank}")
        if job.version not in models:
            raise ValueError(f"{job}: no model of that version was given")
        if models[job.version].shape != (self.parameters,):
            raise ValueError(f"{job}: its model is not a vector of {self.parameters} parameters")

    def _work(self, job: GradientJob, start: Vector) -> LocalWork:
        local = self._config.local
        active = active_components(
            self._seed,
            job.client,
            job.round,
            job.rank,
            self.rank,
            len(self._layout.modules),
            self._config.lora.sketch.per_module,
        )
        rows = local_batches(
            self._owned[job.client], self._seed, job.client, job.round, local.steps, local.batch
        )
        return LocalWork(job, start, active, rows)
