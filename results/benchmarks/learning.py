"""Cost of gradients: clients stacked into one pass against one client after another.

Against two loops over the clients, which do the same steps on the same batches from the same start,
full rank, on one torch thread, in one process, turn by turn:

    bare       what a user of PEFT would write: model(labels=...).loss, backward, clip, torch's SGD
    reference  `engine: reference`

Times are processor time (one thread, so what a core to itself would take), medians over the turns
after one that warms up; every turn draws other batches.

The memory cases compare the most that a cohort holds at a time with 1.5 x the stacked adapters +
the activations that autograd would keep. Held is what the process grows by, from freed pages given
back (malloc_trim), when a cohort is trained again and every block of 64 KiB and more is mapped
alone, so that it is gone once it is freed. Beside it stands what the process grows by with the
allocator as it is, which has holes that nothing fits into, and at the first time, when the
libraries load code and make kernels that they keep.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import harness
import numpy as np
import torch
import transformers as hf
from harness import Case
from numpy.typing import NDArray

from wirelessfl.learning.adapter import add_adapter
from wirelessfl.learning.assemble import assemble
from wirelessfl.learning.base import Base
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.local import local_batches
from wirelessfl.learning.task import Samples, Task
from wirelessfl.scenario.learning import LearningConfig

TURNS, STEPS = 2, 2
CLIENTS, ROUNDS = 40, (1, 5, 20)
MAPPED = "MALLOC_MMAP_THRESHOLD_"  # glibc's setting
SECTIONS = {
    "tiny-vit": {"task": {"kind": "digits"}, "model": {"kind": "tiny-vit"}},
    "tiny-lm": {
        "task": {"kind": "pydoc"},
        "model": {"kind": "tiny-lm"},
        "partition": {"kind": "natural"},
    },
    "encoder": {"partition": {"kind": "iid", "sizes": "balanced"}},
}
WHAT = {
    "tiny-vit": "tiny-vit on digits",
    "tiny-lm": "tiny-lm on pydoc",
    "encoder": "BERT of 4 layers 128 wide on 8 to 64 tokens",
}
SMALL = {
    "tiny-vit": {"hidden": 16, "layers": 1, "heads": 2, "pretrain_steps": 2},
    "tiny-lm": {"hidden": 16, "layers": 1, "heads": 2, "vocabulary": 300, "pretrain_steps": 2},
    "encoder": {},
}


def encoder(small: bool) -> tuple[Base, Task]:
    """A BERT with random weights and texts of 8 to 64 random tokens in four classes."""
    layers, vocabulary, count, longest = (1 if small else 4), 2000, 2000, 64
    torch.manual_seed(0)
    model = hf.BertForSequenceClassification(
        hf.BertConfig(
            vocab_size=vocabulary,
            hidden_size=128,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=512,
            num_labels=4,
        )
    )
    rng = np.random.default_rng(0)
    mask = torch.from_numpy(np.arange(longest) < rng.integers(8, longest + 1, size=count)[:, None])
    tokens = torch.from_numpy(rng.integers(3, vocabulary, size=(count, longest))) * mask
    classes = rng.integers(4, size=count)
    samples = Samples(
        {"input_ids": tokens, "attention_mask": mask.long()}, torch.from_numpy(classes)
    )
    task = Task(samples, samples, classes, None, ("loss", "accuracy"), None, "random")
    return Base(model.eval(), ("classifier",), None), task


def build(name: str, engine: str, batch: int, small: bool) -> tuple[Learner, Task]:
    """A learner of one of the models, and its data."""
    section = {**SECTIONS[name]}
    if small and "model" in section:
        section["model"] = {**section["model"], **SMALL[name]}
    local = {"steps": STEPS, "batch": batch, "lr": 0.05}
    config = LearningConfig.model_validate(
        {**section, "local": local, "engine": engine, "cohort_width": "auto"}
    )
    base, task = encoder(small) if name == "encoder" else assemble(config)
    model = add_adapter(base, config.lora, 0)
    return Learner(config, task, model, CLIENTS, 0), task


class Bare:
    """A loop over clients as one writes it with PEFT, torch and transformers alone."""

    def __init__(self, name: str, batch: int, small: bool):
        learner, self._task = build(name, "reference", batch, small)
        self._model, self._owned, self._batch = learner._model, learner._owned, batch
        self._trained = [p for p in self._model.parameters() if p.requires_grad]
        self._start = [p.detach().clone() for p in self._trained]

    def rows(self, job: GradientJob) -> NDArray[np.int64]:
        """The batches that the engines draw for a job."""
        owned = self._owned[job.client]
        return local_batches(owned, 0, job.client, job.round, STEPS, self._batch)

    def train(self, rows: Sequence[NDArray[np.int64]]) -> list[list[torch.Tensor]]:
        """Local training of the clients with these batches; the changes of their parameters."""
        return [self._train(own) for own in rows]

    def _train(self, rows: NDArray[np.int64]) -> list[torch.Tensor]:
        with torch.no_grad():
            for parameter, value in zip(self._trained, self._start, strict=True):
                parameter.copy_(value)
        optimizer = torch.optim.SGD(self._trained, lr=0.05)
        for batch in torch.from_numpy(rows):
            samples = self._task.train.take(batch)
            optimizer.zero_grad()
            loss = self._model(**samples.inputs, labels=samples.labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
            optimizer.step()
        return [p.detach() - value for p, value in zip(self._trained, self._start, strict=True)]


def jobs(learner: Learner, clients: int, round: int = 1) -> list[GradientJob]:
    """Full-rank work for those who have most data, so that batches are full."""
    most = np.argsort(-learner.samples, kind="stable")[:clients]
    return [GradientJob(version=0, round=round, client=int(c), rank=learner.rank) for c in most]


def ratios(name: str, batch: int, scale: float) -> Mapping[str, float]:
    """Times of both loops over the time of the cohort, for rounds of 1, 5 and 20 clients."""
    torch.set_num_threads(1)
    started, small = time.perf_counter(), scale != 1
    bare = Bare(name, batch, small)
    engines = {e: build(name, e, batch, small)[0] for e in ("reference", "cohort")}
    found: dict[str, float] = {"width": engines["cohort"]._width}
    for clients in ROUNDS:

        def engine(one: Learner, round: int, clients: int = clients) -> None:
            one.train(jobs(one, clients, round), {0: one.initial}, one.method())

        def loop(round: int, clients: int = clients) -> None:
            work = jobs(engines["cohort"], clients, round)
            bare.train([bare.rows(job) for job in work])

        loops: dict[str, Callable[[int], None]] = {
            "bare": loop,
            **{e: partial(engine, one) for e, one in engines.items()},
        }
        middle_s = medians(loops)
        for other in ("bare", "reference"):
            found[f"{other}_over_cohort_{clients}"] = middle_s[other] / middle_s["cohort"]
    rates = {f"{name}_client_steps_per_s": clients * STEPS / s for name, s in middle_s.items()}
    smallest = min(found[f"bare_over_cohort_{clients}"] for clients in ROUNDS)
    return {
        "value": found[f"bare_over_cohort_{ROUNDS[-1]}"],
        "smallest": smallest,
        "elapsed_s": time.perf_counter() - started,
        **found,
        **rates,
    }


def medians(loops: Mapping[str, Callable[[int], None]]) -> dict[str, float]:
    """Processor time of each in seconds; every turn is another round, so no batch is seen twice."""
    taken: dict[str, list[float]] = {loop: [] for loop in loops}
    for turn in range(TURNS + 1):
        for loop, run in loops.items():
            begun = time.process_time()
            run(turn + 1)
            if turn:
                taken[loop].append(time.process_time() - begun)
    return {loop: statistics.median(times) for loop, times in taken.items()}


def memory(name: str, scale: float) -> Mapping[str, float]:
    """What a cohort holds at batch 16 over the bound, and what its process grows by."""
    torch.set_num_threads(1)
    started, batch = time.perf_counter(), 16
    learner, _ = build(name, "cohort", batch, scale != 1)
    work = jobs(learner, learner._width)
    first_mib, process_mib = (grown_mib(learner, work) for _ in range(2))
    held_mib = process_mib if MAPPED in os.environ else mapped(name, scale)["process_mib"]
    adapters_mib = learner.initial.nbytes * len(work) / 2**20
    kept = float(learner.workload.step.activation_bytes(batch, learner.rank))
    activations_mib = kept * len(work) / 2**20
    bound_mib = 1.5 * adapters_mib + activations_mib
    return {
        "value": held_mib / bound_mib,
        "process_over_bound": process_mib / bound_mib,
        "elapsed_s": time.perf_counter() - started,
        "width": len(work),
        "held_mib": held_mib,
        "process_mib": process_mib,
        "first_mib": first_mib,
        "adapters_mib": adapters_mib,
        "activations_mib": activations_mib,
    }


def grown_mib(learner: Learner, work: Sequence[GradientJob]) -> float:
    """The most that the process grows by in training, counted from freed pages given back."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = resident_bytes("VmRSS")
    learner.train(work, {0: learner.initial}, learner.method())
    return (resident_bytes("VmHWM") - before) / 2**20


def mapped(name: str, scale: float) -> Mapping[str, float]:
    """`memory` in a process whose allocator maps every block of 64 KiB and more alone."""
    command = [sys.executable, __file__, "--here", f"{name}-memory", "--scale", str(scale)]
    done = subprocess.run(
        command, env=os.environ | {MAPPED: str(1 << 16)}, check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def resident_bytes(which: str) -> int:
    """VmRSS, the memory this process has now, or VmHWM, the most it had."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


CASES = {
    f"{name}-batch-{batch}": Case(
        f"{WHAT[name]}, 20 clients a round, batch {batch}: bare PEFT loop over cohort",
        partial(ratios, name, batch),
        unit="x",
        target=2.0,
        more_is_better=True,
    )
    for name in WHAT
    for batch in (4, 16)
} | {
    f"{name}-memory": Case(
        f"{WHAT[name]}, a cohort at batch 16: held over 1.5 x stacked adapters + activations",
        partial(memory, name),
        unit="x",
        target=1.0,
    )
    for name in WHAT
}


def main(arguments: list[str] | None = None) -> None:
    """See `harness`."""
    harness.main(__file__, CASES, arguments)


if __name__ == "__main__":
    main()
