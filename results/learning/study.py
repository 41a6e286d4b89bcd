"""Does federated training learn what central training does? digits and pydoc, full participation.

For each task two runs with the same model, adapter, local steps and number of gradient steps: all
clients in every round, and one client that holds all the data. Writes learning.csv beside this.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import wirelessfl as wfl

HERE = Path(__file__).parent
SCENARIOS = HERE.parents[1] / "scenarios"
COMMON = {
    "digits": ("quickstart.yaml", "learning.partition={kind: dirichlet, alpha: 0.3}", 10, 60),
    "pydoc": ("pydoc-packages.yaml", "learning.partition={kind: natural}", 10, 40),
}


def final_loss(task: str, clients: int, seed: int) -> tuple[float, float]:
    """Held-out loss before and after."""
    file, partition, _, rounds = COMMON[task]
    if clients == 1:
        partition = "learning.partition={kind: iid, sizes: balanced}"
    scenario = wfl.load(
        SCENARIOS / file,
        (
            f"seed={seed}",
            f"stop={{rounds: {rounds}}}",
            f"evaluate.every={rounds}",
            f"devices.count={clients}",
            "strategy={kind: full}",
            "learning.cohort_width=auto",
            partition,
        ),
    )
    loss = wfl.simulate(scenario).rounds["loss"].dropna()
    return float(loss.iloc[0]), float(loss.iloc[-1])


def main() -> None:
    """Run everything and write the table."""
    rows = []
    for task, (_, _, clients, rounds) in COMMON.items():
        for seed in range(3):
            start, together = final_loss(task, clients, seed)
            _, alone = final_loss(task, 1, seed)
            rows.append(
                {
                    "task": task,
                    "seed": seed,
                    "clients": clients,
                    "rounds": rounds,
                    "loss_before": start,
                    "loss_federated": together,
                    "loss_central": alone,
                    "ratio": together / alone,
                }
            )
            print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(HERE / "learning.csv", index=False)


if __name__ == "__main__":
    main()
