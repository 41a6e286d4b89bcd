"""The learning room's front door: real LoRA gradients for jobs, and real quality for models."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from peft import PeftModel

from wirelessfl.errors import InputError
from wirelessfl.learning.adapter import add_adapter
from wirelessfl.learning.assemble import assemble
from wirelessfl.learning.base import Progress
from wirelessfl.learning.cohort import train_cohort
from wirelessfl.learning.cost import count_step_cost
from wirelessfl.learning.evaluation import metrics
from wirelessfl.learning.fingerprint import frozen_weights
from wirelessfl.learning.identity import learner_fingerprint
from wirelessfl.learning.jobs import DivergedError, GradientJob, Update, Vector
from wirelessfl.learning.layout import layout_of
from wirelessfl.learning.local import LocalResult, LocalWork, local_batches
from wirelessfl.learning.memo import Memo
from wirelessfl.learning.methods.base import Method
from wirelessfl.learning.methods.build import build_method
from wirelessfl.learning.out_of_memory import train_in_halves
from wirelessfl.learning.packable import packed_blocks
from wirelessfl.learning.packed_blocks import PackedBlocks
from wirelessfl.learning.partition import partition
from wirelessfl.learning.reference import train_one_by_one
from wirelessfl.learning.saved_adapter import adapter_files
from wirelessfl.learning.shifted import shifted
from wirelessfl.learning.task import Task
from wirelessfl.learning.threads import torch_threads
from wirelessfl.learning.workbench import Workbench
from wirelessfl.learning.workload import Workload
from wirelessfl.scenario.adapter import FixedAdapter
from wirelessfl.scenario.learning import LearningConfig

_CACHE_BYTES = 20e6  # of a pass: measured, beyond 20 to 30 MB passes become slower (2-core x86)
_MEMORY_BYTES = 2e9

_PLAIN = FixedAdapter()
Engine = Callable[[Workbench, Sequence[LocalWork]], list[LocalResult]]
_ENGINES: dict[str, Engine] = {"cohort": train_cohort, "reference": train_one_by_one}


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
    base, task = assemble(config, progress)
    model = add_adapter(base, config.lora, seed)
    return Learner(config, task, model, clients, seed)


class Learner:
    """Trains clients and evaluates global models, all given as flat float32 vectors.

    Attributes:
        clients: Number of clients.
        samples: |D_n|, samples each client holds `[clients]`.
        rank: gamma, components per adapted layer.
        parameters: Length of a model vector.
        initial: The model before any training `[parameters]`.
        layout: Places of the adapter's parameters in a vector.
        memo: Where results are kept from run to run, if anywhere.
        memory_halvings: How often a cohort was halved because memory did not suffice.
    """

    def __init__(
        self, config: LearningConfig, task: Task, model: PeftModel, clients: int, seed: int
    ):
        self.clients = clients
        self.memo: Memo | None = None
        self.memory_halvings = 0
        self._config, self._task, self._model, self._seed = config, task, model, seed
        self._owned = partition(config.partition, task.classes, clients, seed, task.owners)
        self.samples = np.array([len(rows) for rows in self._owned])
        self.layout = layout_of(model)
        self.rank, self.parameters = self.layout.rank, self.layout.size
        self.initial = self.layout.read(model)
        self.initial.setflags(write=False)
        device = _device(config)
        self._model.to(device)
        self._test = task.test.to(device)
        self._bench = Workbench(
            model=model,
            layout=self.layout,
            samples=task.train.to(device),
            local=config.local,
            dropout=config.lora.dropout,
            half=config.precision == "bfloat16",
            seed=seed,
        )
        self._evaluated: dict[bytes, dict[str, float]] = {}

    @property
    def data(self) -> dict[str, str | int]:
        """Fingerprint of the data, and how many samples train and test the model."""
        task = self._task
        return {"fingerprint": task.fingerprint, "train": len(task.train), "test": len(task.test)}

    @cached_property
    def base(self) -> dict[str, str | int]:
        """Fingerprint and number of the frozen weights that the adapter is trained on."""
        fingerprint, parameters = frozen_weights(self._model)
        return {"fingerprint": fingerprint, "parameters": parameters}

    @cached_property
    def _test_blocks(self) -> PackedBlocks | None:
        """The model's blocks for evaluation: tried with test samples, which may be longer."""
        return None if self._bench.half else packed_blocks(self._model, self.layout, self._test)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What evaluation measures."""
        return self._task.metrics

    @property
    def holdings(self) -> pd.DataFrame:
        """Samples that each client holds of each class, as a trace has them."""
        return holdings_table(self._owned, self._task)

    @cached_property
    def _width(self) -> int:
        """Clients in one stacked pass.

        auto depends on the model alone, never on the host: as many as fill a cache with what
        autograd keeps, but at least 10 and at most 32, if that many fit in memory.
        """
        if self._config.cohort_width != "auto":
            return self._config.cohort_width
        local = self._config.local
        batch = min(local.batch, local.micro_batch or local.batch)
        kept = float(self.workload.step.activation_bytes(batch, self.rank))
        return int(max(1, min(max(_CACHE_BYTES // kept, 10), 32, _MEMORY_BYTES // kept)))

    @cached_property
    def workload(self) -> Workload:
        """What training costs clients, counted while a step of the real model runs."""
        with torch_threads(self._config.threads):
            step = count_step_cost(self._bench)
        base = sum(p.numel() * p.element_size() for p in self._model.get_base_model().parameters())
        return Workload(
            samples=self.samples,
            rank=self.rank,
            d_in=np.array([module.d_in for module in self.layout.modules]),
            d_out=np.array([module.d_out for module in self.layout.modules]),
            head_size=self.layout.head_size,
            head_tensors=len(self.layout.head),
            base_bytes=base - self.initial.nbytes,
            step=step,
            local=self._config.local,
        )

    def method(self, config: FixedAdapter = _PLAIN) -> Method:
        """A new method of the kind that a strategy's `adapter` section asks for, for one run.

        Plain fslora if none is given.
        """
        per_module = self._config.lora.sketch.per_module
        shares = self.samples / self.samples.sum()
        return build_method(config, self.layout, self._seed, shares, per_module)

    def train(
        self, jobs: Sequence[GradientJob], models: Mapping[int, Vector], method: Method
    ) -> list[Update | None]:
        """Runs local training for every job.

        Jobs are sorted by (version, round, client) and cut evenly into cohorts of at most
        `cohort_width`. What a job returns depends on its fields and its model alone; the cohort it
        lands in can move only the last bits, so the same call gives the same bytes. A cohort that
        the memory of this machine does not hold is trained in halves (`out_of_memory`), which is
        one such move.

        Args:
            jobs: Any clients, rounds, ranks and start versions.
            models: Global model of every version that the jobs name.
            method: What the models mean, and where clients start.

        Returns:
            One update per job, in the order of the jobs; None where training was not finite and
            `local.on_nonfinite` is drop.

        Raises:
            DivergedError: A client's training was not finite, and that is to stop the run.
            InputError: The memory of this machine does not hold even one client's training.
            ValueError: A job names a client, rank or version that does not exist, or its model is
                of another shape.
        """
        for job in jobs:
            self._check(job, models)
        for version in {job.version for job in jobs}:
            if method.adapter(models[version]).shape != (self.parameters,):
                raise ValueError(f"version {version} is no vector of {self.parameters} parameters")
        order = sorted(
            range(len(jobs)), key=lambda i: (jobs[i].version, jobs[i].round, jobs[i].client)
        )
        engine = _ENGINES[self._config.engine]
        updates: dict[int, Update | None] = {}
        with torch_threads(self._config.threads):
            for cohort in self._cohorts(order, jobs, method):
                works = [self._work(jobs[i], models[jobs[i].version], method) for i in cohort]
                residual = method.residual(models[jobs[cohort[0]].version])
                train = functools.partial(self._pass, engine, residual)
                results = train_in_halves(train, works, self._count_halving)
                for i, work, result in zip(cohort, works, results, strict=True):
                    updates[i] = self._update(jobs[i], work, result, method)
        return [updates[i] for i in range(len(jobs))]

    def _pass(
        self, engine: Engine, residual: Vector | None, works: Sequence[LocalWork]
    ) -> list[LocalResult]:
        """One pass of the engine; the memo keeps passes as they were run, halves as halves."""
        train = functools.partial(self._trained, engine, works, residual)
        if self.memo is None:
            return train()
        return self.memo.trained(self._fingerprint, works, residual, train)

    def _trained(
        self, engine: Engine, works: Sequence[LocalWork], residual: Vector | None
    ) -> list[LocalResult]:
        with shifted(self._model, self.layout, residual):
            return engine(self._bench, works)

    def _count_halving(self) -> None:
        self.memory_halvings += 1

    @cached_property
    def _fingerprint(self) -> bytes:
        """Hash of all that results follow from besides the clients' work, or the model."""
        own = [self._config.model_dump(mode="json"), self.clients, self._seed]
        return learner_fingerprint(own, self._model, (self._bench.samples, self._test))

    def _cohorts(
        self, order: Sequence[int], jobs: Sequence[GradientJob], method: Method
    ) -> Iterator[Sequence[int]]:
        """The jobs in order, cut evenly into cohorts; of one version if models change the base."""
        groups: list[Sequence[int]] = [order]
        if method.shifts_base:
            versions = itertools.groupby(order, key=lambda i: jobs[i].version)
            groups = [list(group) for _, group in versions]
        for group in groups:
            count = -(-len(group) // self._width)
            bounds = [-(-len(group) * n // count) for n in range(count + 1)]
            for first, end in itertools.pairwise(bounds):
                yield group[first:end]

    def evaluate(self, model: Vector, method: Method) -> dict[str, float]:
        """Metrics on the held-out test set; remembered per model.

        Loss is the mean cross-entropy of a prediction (a class, or a token), accuracy the share of
        right classes, perplexity e to the loss.
        """
        adapter, residual = method.adapter(model), method.residual(model)
        digest = hashlib.blake2b(adapter.tobytes(), digest_size=16)
        digest.update(b"" if residual is None else residual.tobytes())
        known = self._evaluated.get(digest.digest())
        if known is None:
            measure = functools.partial(self._measured, adapter, residual)
            known = (
                self.memo.measured(self._fingerprint, digest.digest(), measure)
                if self.memo is not None
                else measure()
            )
            self._evaluated[digest.digest()] = known
        return dict(known)

    def _measured(self, adapter: Vector, residual: Vector | None) -> dict[str, float]:
        """Metrics of an adapter, with a change of the frozen weights if there is one."""
        self.layout.write(self._model, adapter)
        with torch_threads(self._config.threads), shifted(self._model, self.layout, residual):
            fast = None if self._bench.half else self._bench.fast_layers
            every = metrics(self._model, self._test, self._bench.precision, self._test_blocks, fast)
        return {name: every[name] for name in self._task.metrics}

    def adapter_files(self, model: Vector, method: Method) -> dict[str, bytes]:
        """The model as the files of a PEFT adapter; see `saved_adapter.adapter_files`."""
        adapter, residual = method.adapter(model), method.residual(model)
        return adapter_files(self._model, self.layout, adapter, residual)

    def _check(self, job: GradientJob, models: Mapping[int, Vector]) -> None:
        if not 0 <= job.client < self.clients:
            raise ValueError(f"{job}: there are {self.clients} clients")
        if not 1 <= job.rank <= self.rank:
            raise ValueError(f"{job}: the rank must be 1 to {self.rank}")
        if job.version not in models:
            raise ValueError(f"{job}: no model of that version was given")

    def _work(self, job: GradientJob, model: Vector, method: Method) -> LocalWork:
        local = self._config.local
        rows = local_batches(
            self._owned[job.client], self._seed, job.client, job.round, local.steps, local.batch
        )
        return LocalWork(job.client, job.round, method.start(model, job), rows)

    def _update(
        self, job: GradientJob, work: LocalWork, result: LocalResult, method: Method
    ) -> Update | None:
        if not (math.isfinite(result.loss) and np.isfinite(result.change).all()):
            if self._config.local.on_nonfinite == "drop":
                return None
            raise DivergedError(job.client, job.round)
        return Update(method.update(job, work.start, result), result.loss, work.rows.size)


def holdings_table(owned: Sequence[NDArray[np.int64]], task: Task) -> pd.DataFrame:
    """Client, class and samples, without the classes a client has nothing of.

    Args:
        owned: Rows of the training set that each client holds.
        task: Whose rows they are.
    """
    classes = np.concatenate([task.classes[rows] for rows in owned])
    client = np.repeat(np.arange(len(owned)), [len(rows) for rows in owned])
    number = int(task.classes.max()) + 1
    held = np.bincount(client * number + classes, minlength=len(owned) * number)
    pairs = np.flatnonzero(held)
    names = np.array(task.class_names or [str(label) for label in range(number)], object)
    return pd.DataFrame(
        {"client": pairs // number, "class": names[pairs % number], "samples": held[pairs]}
    )


def _device(config: LearningConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("learning.device: torch sees no CUDA device here; write device: cpu")
    return torch.device(config.device)
