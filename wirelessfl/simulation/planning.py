"""What a strategy would do and what is to be expected of it, without training.

The server's view at the start of a run, or after one that is over: participation, ranks, the length
of a round, the rounds that noise costs, who makes rounds long and whose updates matter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario
from wirelessfl.scenario.asynchronous import AsynchronousPreset
from wirelessfl.scenario.participation import PlannedParticipation
from wirelessfl.simulation.engine import workload_of
from wirelessfl.simulation.memory import memory_gate
from wirelessfl.simulation.observer import Observer
from wirelessfl.simulation.world import build_world
from wirelessfl.strategy import Observation, Plan, RoundFeedback, Strategy, build_strategy
from wirelessfl.strategy.adaptive import DRIFT
from wirelessfl.strategy.bound import Terms, bound_terms
from wirelessfl.strategy.estimator import NoiseEstimator
from wirelessfl.strategy.round_model import PREDICTED_MEMBERSHIPS, round_model
from wirelessfl.trace import Trace

Floats = NDArray[np.float64]

QUANTILES = (0.05, 0.5, 0.95)
# The plan of so many rounds later is shown, when every pilot is over.
LATER = 1000
UNTRAINED = "updates are taken as equally long and unrelated: nothing has been trained"
MEASURED = "update norms, and how far updates agree, are those of {folder}"
ALL_AWAITED = "; times are of waiting for all who are asked, though the first {enough} end a round"


@dataclass(frozen=True)
class Outlook:
    """A plan and what is to be expected of it; arrays are `[clients]`.

    Attributes:
        scenario, strategy, assumption: What was planned, and what was taken for granted.
        plan: Participation, ranks and server step.
        profile: Kind of device.
        weight: Share of the data.
        mean_s: Expected length of a round.
        quantiles_s: Its quantiles, by `QUANTILES`.
        price_s: What a round takes longer if the client takes part than if it does not.
        time_share: Its part of the expected length, q_n price_n over the sum of these.
        noise_share: Its part of the noise of the aggregated update.
        terms: Rounds relative to full participation at full rank, and why.
    """

    scenario: str
    strategy: str
    assumption: str
    plan: Plan
    profile: NDArray[np.str_]
    weight: Floats
    mean_s: float
    quantiles_s: tuple[float, ...]
    price_s: Floats
    time_share: Floats
    noise_share: Floats
    terms: Terms

    @property
    def relative_time_s(self) -> float:
        """What is minimised: expected length of a round times relative rounds."""
        return self.mean_s * self.terms.relative_rounds

    def document(self) -> dict[str, Any]:
        """Everything as JSON values."""
        columns = {
            "profile": self.profile,
            "weight": self.weight,
            "probability": self.plan.q,
            "rank": self.plan.k,
            "price_s": self.price_s,
            "time_share": self.time_share,
            "noise_share": self.noise_share,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        quantiles = zip(QUANTILES, self.quantiles_s, strict=True)
        return {
            "scenario": self.scenario,
            "strategy": self.strategy,
            "assumption": self.assumption,
            "expected_participants": float(self.plan.q.sum()),
            "server_step": self.plan.server_step,
            "round_s": {"mean": self.mean_s, **{f"p{100 * p:02.0f}": s for p, s in quantiles}},
            "rounds": {
                "relative": self.terms.relative_rounds,
                "noise_to_signal": self.terms.noise_to_signal,
                **asdict(self.terms),
            },
            "relative_time_s": self.relative_time_s,
            "clients": [
                {"client": number, **dict(zip(columns, row, strict=True))}
                for number, row in enumerate(rows)
            ],
        }


def plan_scenario(scenario: Scenario, run: Path | None = None) -> Outlook:
    """What the scenario's strategy would do.

    Args:
        scenario: With its strategy.
        run: Folder of a run of the same clients, from whose updates it has learnt; else nothing
            was ever trained.

    Raises:
        InputError: As `simulate`, if nobody can be reached, the run is of other clients, or the
            strategy is asynchronous.
    """
    if isinstance(scenario.strategy, AsynchronousPreset):
        raise InputError(
            f"strategy {scenario.strategy.kind!r} is asynchronous and has no rounds to plan; "
            "choose another kind, e.g. uniform, or time it with `wirelessfl run --timing-only`"
        )
    world = build_world(scenario)
    workload = workload_of(scenario)
    observer = Observer(world, workload, memory_gate(world.fleet, workload))
    strategy = build_strategy(scenario.strategy, scenario.devices.count)
    seen = observer.observe(0, 0.0, observer.available(0.0))
    estimator = NoiseEstimator(seen.clients)
    strategy.plan(seen)
    if run is not None:
        for feedback in _feedback(Trace.read(run), seen, run):
            estimator.observe(feedback, seen.rank)
            strategy.observe(feedback)
    later = observer.observe(_later(scenario), 0.0, seen.available)
    plan = strategy.plan(later)
    rows = np.flatnonzero((plan.q > 0) & later.reachable())
    if not rows.size:
        raise InputError(
            "nobody can take part: no client that holds the model has a channel"
            + (" on which it could keep server.deadline" if np.isfinite(seen.deadline_s) else "")
        )
    price_s, mean_s, quantiles_s = _times(later, strategy, plan, rows)
    noise = estimator.noise(seen.weights)
    pi = plan.q * plan.k / seen.rank
    lost = np.divide(1.0, pi, out=np.ones_like(pi), where=pi > 0) - 1.0
    assumption = UNTRAINED if run is None else MEASURED.format(folder=run)
    if plan.enough is not None:
        assumption += ALL_AWAITED.format(enough=plan.enough)
    return Outlook(
        scenario=scenario.name,
        strategy=scenario.strategy.kind,
        assumption=assumption,
        plan=plan,
        profile=world.fleet.profile,
        weight=seen.weights,
        mean_s=mean_s,
        quantiles_s=quantiles_s,
        price_s=price_s,
        time_share=_shares(plan.q * price_s),
        noise_share=_shares(noise * lost),
        terms=bound_terms(plan.q, plan.k, seen.rank, seen.weights, noise, drift=DRIFT),
    )


def _later(scenario: Scenario) -> int:
    """A round that begins with a new plan."""
    participation = getattr(scenario.strategy, "participation", None)
    if isinstance(participation, PlannedParticipation):
        return participation.pilot_rounds + LATER * participation.replan_every
    return LATER


def _times(
    seen: Observation, strategy: Strategy, plan: Plan, rows: NDArray[np.int64]
) -> tuple[Floats, float, tuple[float, ...]]:
    """Price of each client, mean and quantiles of a round's length."""
    ranks = plan.k[rows, None]
    model = round_model(seen.only(rows), strategy.bandwidth, ranks, PREDICTED_MEMBERSHIPS)
    option = np.zeros(len(rows), dtype=np.int64)
    durations_s, weight = model.durations_s(plan.q[rows], option)
    order = np.argsort(durations_s)
    below = np.cumsum(weight[order])
    places = np.minimum(np.searchsorted(below, QUANTILES), len(order) - 1)
    price_s = np.zeros(seen.clients)
    price_s[rows] = model.prices(plan.q[rows], option).price_s[:, 0]
    quantiles_s = tuple(float(durations_s[order[place]]) for place in places)
    return price_s, float(durations_s @ weight), quantiles_s


def _feedback(trace: Trace, seen: Observation, folder: Path) -> list[RoundFeedback]:
    """What a server learnt from a run."""
    clients = trace.clients
    if len(clients) and clients["client"].max() >= seen.clients:
        raise InputError(f"--from {folder}: that run had more clients than this scenario")
    done = clients[(clients["outcome"] == "completed") & clients["update_norm"].notna()]
    if done.empty:
        raise InputError(f"--from {folder}: that run trained nothing, so it has no update norms")
    found, norm = [], trace.rounds.set_index("round")["update_norm"]
    for number in sorted(set(done["round"])):
        rows = done[done["round"] == number]
        found.append(
            RoundFeedback(
                round=int(number) - 1,
                asked=clients["client"][clients["round"] == number].to_numpy(np.int64),
                clients=rows["client"].to_numpy(np.int64),
                weights=rows["weight"].to_numpy(),
                q=rows["probability"].to_numpy(),
                k=rows["rank"].to_numpy(np.int64),
                squared_norms=rows["update_norm"].to_numpy() ** 2,
                update_squared_norm=float(norm[number]) ** 2,
                losses=rows["train_loss"].to_numpy(),
                compute_s=(rows["queue_s"] + rows["compute_s"]).to_numpy(),
                upload_s=rows["upload_s"].to_numpy(),
                duration_s=float(rows["upload_end_s"].max() - rows["download_start_s"].min()),
            )
        )
    return found


def _shares(parts: Floats) -> Floats:
    total = parts.sum()
    return np.asarray(parts / total if total > 0 else parts)
