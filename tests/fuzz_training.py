"""Valid scenarios that learn for real, drawn at random: each ends in words and can be reported on.

    python -m tests.fuzz_training --cases 100 --seed 0

Tiny models and two rounds, over what may be combined: strategies, methods of sharing an adapter,
sketches, number formats, server optimisers, memories of updates, privacy, partitions and engines.
What the schema refuses is drawn again. A defect is what `tests.fuzz_commands` calls one, or a trace
that `wirelessfl report` cannot read.
"""

from __future__ import annotations

import argparse
import collections
import random
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from tests.fuzz_commands import call, workplace
from wirelessfl.errors import InputError
from wirelessfl.scenario import loads
from wirelessfl.scenario.adapter import Method, SketchMode, UplinkDtype
from wirelessfl.scenario.yaml_text import yaml_text
from wirelessfl.simulation.world import check

KINDS = (
    "full", "uniform", "data_proportional", "statistical", "fixed_k", "deadline", "oort", "fslora",
    "hetlora", "rbla", "flexlora", "flora", "adaptive", "adaptive-paper",
    "adaptive-async", "fedasync", "fedbuff",
)  # fmt: skip


def some(rng: random.Random, **values: list[Any]) -> dict[str, Any]:
    """About half of the fields, each with one of its values."""
    return {name: rng.choice(of) for name, of in values.items() if rng.random() < 0.5}


def drawn(rng: random.Random) -> dict[str, Any]:
    """A scenario that may be valid."""
    clients, rank = rng.choice((1, 2, 3, 4)), rng.choice((1, 2, 4))
    kind = rng.choice(KINDS)
    strategy: dict[str, Any] = {"kind": kind}
    if rng.random() < 0.8:
        adapter = some(rng, method=list(get_args(Method)), uplink_dtype=list(get_args(UplinkDtype)))
        adapter |= rng.choice(
            [{}, {"sketch": "off"}, {"sketch": "tiers"}, {"sketch": "planned"}, {"pruning": 0.5},
             {"sketch": "fixed", "rank": rng.choice((1, rank))},
             {"sketch": "tiers", "ratios": [0.4]},
             {"sketch_mode": rng.choice(get_args(SketchMode))}]
        )  # fmt: skip
        strategy["adapter"] = adapter
    if rng.random() < 0.7:
        server = some(rng, variance_reduction=["none", "fedvarp", "fitted"], step=[0.01, 1.0, 50.0])
        server |= rng.choice(
            [{}, {"optimizer": "plain"}, {"optimizer": "momentum", "momentum": 0.5},
             {"optimizer": "adam", "step": 0.01}, {"optimizer": "adam", "beta1": 0.0, "step": 1.0}]
        )  # fmt: skip
        strategy["server"] = server
    if rng.random() < 0.5:
        strategy["participation"] = {"expected": rng.choice((1, clients))}
    if kind in ("fedasync", "fedbuff"):
        strategy["participation"] = {"concurrency": rng.choice((1, clients, 10))}
        strategy |= some(rng, staleness=[{"kind": "constant"}, {"kind": "hinge"}], buffer=[1, 2])
    learning: dict[str, Any] = {
        "model": {"kind": "tiny-vit", "hidden": 16, "layers": 1, "heads": 2, "pretrain_steps": 2},
        "lora": {"rank": rank, "alpha": 4} | some(
            rng, dropout=[0.3], rslora=[True], sketch=[{"per_module": True}], targets=[["q_proj"]]
        ),
        "local": {"steps": rng.choice((1, 2)), "batch": rng.choice((1, 4))} | rng.choice(
            [{}, {"lr": 100.0, "clip_norm": None}, {"lr": 1e30, "on_nonfinite": "drop"},
             {"optimizer": "adamw", "weight_decay": 0.1, "lr": 1e-3}, {"momentum": 0.9}]
        ),
        "partition": rng.choice(
            [{"kind": "iid"}, {"kind": "dirichlet", "alpha": 0.01}, {"kind": "shards"},
             {"kind": "iid", "sizes": "lognormal"}]
        ),
    }  # fmt: skip
    learning |= some(rng, engine=["cohort", "reference"], cohort_width=[1, 3, "auto"])
    if rng.random() < 0.25:
        learning["precision"] = "bfloat16"
    if rng.random() < 0.3:
        learning["privacy"] = {"clip_norm": rng.choice((1e-3, 1.0))} | rng.choice(
            [{"noise_multiplier": 0.0}, {"noise_multiplier": 1.0}, {"epsilon": 8.0}]
        )
    scenario: dict[str, Any] = {
        "name": "drawn",
        "seed": rng.randrange(100),
        "stop": {"rounds": 2},
        "devices": {"count": clients}
        | some(rng, availability=[{"kind": "on_off", "mean_on": "5 s", "mean_off": "5 s"}]),
        "learning": learning,
        "strategy": strategy,
    }
    scenario |= some(rng, server=[{"deadline": "1 ms"}, {"deadline": "1 s"}, {"overhead": "0 s"}])
    scenario |= some(rng, evaluate=[{"every": 2}], trace=[{"events": False}])
    return scenario


@dataclass
class Trained:
    """What became of the cases."""

    cases: int = 0
    refused: int = 0
    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    defects: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The counts in one line."""
        return (
            f"{self.cases} valid scenarios trained ({self.refused} refused by the schema), exit "
            f"codes {dict(sorted(self.codes.items()))}, {len(self.defects)} kinds of defect"
        )


def train(place: Path, cases: int, seed: int) -> Trained:
    """Train so many valid scenarios; the same for the same seed."""
    done, number, said_s = Trained(), 0, time.monotonic()
    while done.cases < cases:
        text = yaml_text(drawn(random.Random(f"{seed}/{number}")))
        number += 1
        try:
            check(loads(text))
        except InputError:
            done.refused += 1
            continue
        done.cases += 1
        (place / "drawn.yaml").write_text(text)
        shutil.rmtree(place / "made", ignore_errors=True)
        for line in (["run", "drawn.yaml", "--out", "made", "--quiet"], ["report", "made"]):
            answer = call(line, place)
            done.codes[answer.code] += 1
            if answer.defect is not None:
                done.defects.setdefault(f"{line[0]}: {answer.defect}", f"{answer.err}\n{text}")
            if answer.code == 2 and line[0] == "report":
                done.defects.setdefault(f"report: {answer.err}", text)
            if answer.code == 2 or answer.error is not None:
                break
        if time.monotonic() - said_s > 10:
            said_s = time.monotonic()
            print(f"[{done.cases}/{cases}] {done}", file=sys.stderr, flush=True)
    return done


def main() -> None:
    """Train many cases and print the defects, each kind once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    with workplace() as place:
        done = train(place, options.cases, options.seed)
    for defect, text in done.defects.items():
        print(f"{defect}\n{text}")
    print(f"{time.monotonic() - started:.0f} s: {done}")
    sys.exit(1 if done.defects else 0)


if __name__ == "__main__":
    main()
