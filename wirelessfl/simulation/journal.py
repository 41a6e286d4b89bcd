"""What a run writes down: one row a round, one a participant, and the events of the timeline."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wirelessfl.arrays import stable_order
from wirelessfl.device.fleet import Fleet
from wirelessfl.network.channel import Channel
from wirelessfl.simulation.client import Cohort
from wirelessfl.strategy.observation import Plan, RoundFeedback
from wirelessfl.trace import Trace
from wirelessfl.trace.recorder import Recorder
from wirelessfl.trace.tables import EVENTS, OUTCOMES, SERVER, Words

LEFT = ("dropped", "crashed", "offline", "lost")  # outcomes that the rounds table counts
METRICS = ("loss", "accuracy", "perplexity")

_Events = tuple[str, NDArray[np.float64], NDArray[np.int64]]  # what, when and to whom [events]
_SERVER = np.array([SERVER])


class Journal:
    """Turns what happened into the trace's tables; decides nothing.

    Args:
        fleet: The devices, for their names.
        channel: The air, for the clients' distances.
        events: Whether the events table is kept.
    """

    def __init__(self, fleet: Fleet, channel: Channel, events: bool) -> None:
        self._fleet, self._channel = fleet, channel
        self._keep_events = events
        self._recorder = Recorder()
        self._last_plan: Plan | None = None

    def initial(self, now_s: float, available: int, metrics: dict[str, float]) -> None:
        """Round 0: the model before anyone trained."""
        zero = dict.fromkeys(("participants", "completed", *LEFT, "server_version"), 0)
        sums = dict.fromkeys(("expected_participants", "downlink_bits", "uplink_bits"), 0.0)
        unknown = ("expected_round_s", "server_step", "noise_to_signal", "mean_rank", "train_loss")
        self._recorder.append_round(
            {
                "round": 0,
                "start_s": now_s,
                "end_s": now_s,
                "duration_s": 0.0,
                "phase": "initial",
                "planned": False,
                "energy_j": 0.0,
                "available": available,
                **zero,
                **sums,
                **dict.fromkeys(unknown, math.nan),
                **_metric_columns(metrics),
            }
        )
        self._events(0, [("evaluate", now_s)])

    def round(
        self,
        cohort: Cohort,
        end_s: float,
        available: int,
        plan: Plan,
        weights: NDArray[np.float64],
        feedback: RoundFeedback,
        version: int,
        metrics: dict[str, float],
    ) -> None:
        """A round that is over, at `end_s`; what was not received is not in `feedback`."""
        number, clients = cohort.work.round, cohort.work.clients
        new_plan, self._last_plan = plan is not self._last_plan, plan
        self._recorder.append_round(
            {
                "round": number,
                "start_s": cohort.start_s,
                "end_s": end_s,
                "duration_s": end_s - cohort.start_s,
                "phase": plan.phase,
                "planned": new_plan,
                "available": available,
                "participants": len(clients),
                "completed": int(cohort.completed.sum()),
                **{left: int(getattr(cohort, left).sum()) for left in LEFT},
                "expected_participants": float(plan.q.sum()),
                "expected_round_s": plan.expected_round_s,
                "server_step": plan.server_step,
                "noise_to_signal": plan.noise_to_signal,
                "mean_rank": _mean(cohort.work.ranks),
                "downlink_bits": cohort.downlink_bits,
                "uplink_bits": float(cohort.uploaded_bits.sum()),
                "energy_j": float(cohort.energy.total_j.sum()),
                "train_loss": _mean(feedback.losses),
                "server_version": version,
                **_metric_columns(metrics),
            }
        )
        if len(clients):
            self._recorder.append_clients(self._client_columns(cohort, plan, weights, feedback))
        self._events(
            number,
            [("round_start", cohort.start_s)]
            + [("plan", cohort.start_s)] * new_plan
            + [("aggregate", end_s)] * bool(len(feedback.clients))
            + [("evaluate", end_s)] * bool(metrics),
            cohort,
        )

    def _client_columns(
        self,
        cohort: Cohort,
        plan: Plan,
        weights: NDArray[np.float64],
        feedback: RoundFeedback,
    ) -> dict[str, Any]:
        clients, n = cohort.work.clients, len(cohort.work.clients)
        loss, norm = np.full(n, np.nan), np.full(n, np.nan)
        received = np.isin(clients, feedback.clients)
        loss[received], norm[received] = feedback.losses, np.sqrt(feedback.squared_norms)
        return {
            "round": np.full(n, cohort.work.round),
            "client": clients,
            "profile": Words(self._fleet.profiles, self._fleet.kind[clients]),
            "cell": cohort.cell,
            "distance_m": self._channel.distances_m(clients, cohort.start_s),
            "probability": plan.q[clients],
            "rank": cohort.work.ranks,
            "weight": weights,
            "outcome": Words(OUTCOMES, cohort.outcome(OUTCOMES)),
            "download_start_s": np.full(n, cohort.start_s),
            "download_end_s": cohort.download_end_s,
            "compute_start_s": cohort.compute_start_s,
            "compute_end_s": cohort.compute_end_s,
            "upload_start_s": cohort.compute_end_s,
            "upload_end_s": cohort.upload_end_s,
            "download_s": cohort.download_end_s - cohort.start_s,
            "queue_s": cohort.compute_start_s - cohort.download_end_s,
            "compute_s": cohort.computing_s,
            "upload_s": cohort.uploading_s,
            "downlink_bits": cohort.downloaded_bits,
            "uplink_bits": cohort.uploaded_bits,
            "receive_j": cohort.energy.receive_j,
            "idle_j": cohort.energy.idle_j,
            "compute_j": cohort.energy.compute_j,
            "transmit_j": cohort.energy.transmit_j,
            "energy_j": cohort.energy.total_j,
            "train_loss": loss,
            "update_norm": norm,
        }

    def waits(self, number: int, now_s: float) -> None:
        """Nobody can be called upon, and round `number` has to wait."""
        self._events(number, [("wait", now_s)])

    def _events(
        self, number: int, own: list[tuple[str, float]], cohort: Cohort | None = None
    ) -> None:
        """Events of a round (or between rounds): those of its cohort, then the server's own."""
        if not self._keep_events:
            return
        happened = [] if cohort is None else _client_events(cohort)
        happened += [(name, np.array([time_s]), _SERVER) for name, time_s in own]
        names, times, clients = zip(*happened, strict=True)
        code = np.repeat([EVENTS.index(name) for name in names], [len(some) for some in times])
        time_s = np.concatenate(times)
        order = stable_order(time_s)
        self._recorder.append_events(
            {
                "time_s": time_s[order],
                "round": np.full(len(time_s), number),
                "client": np.concatenate(clients)[order],
                "event": Words(EVENTS, code[order]),
            }
        )

    def trace(
        self,
        scenario_yaml: str,
        summary: dict[str, Any],
        adapter: dict[str, bytes],
        holdings: pd.DataFrame | None,
    ) -> Trace:
        """The finished trace, with the totals of the run added to the summary."""
        rounds = self._recorder.rounds()
        totals = {
            "rounds": int(rounds["round"].max()),
            "time_s": float(rounds["end_s"].max()),
            "uplink_bits": float(rounds["uplink_bits"].sum()),
            "downlink_bits": float(rounds["downlink_bits"].sum()),
        }
        return Trace(
            rounds=rounds,
            clients=self._recorder.clients,  # made when somebody looks at them
            events=self._recorder.events,
            summary=summary | {"totals": totals},
            scenario_yaml=scenario_yaml,
            adapter=adapter,
            holdings=holdings,
        )


def _client_events(cohort: Cohort) -> list[_Events]:
    """What happened to whom, by kind of event."""
    events = []
    for name, times in (
        ("download_end", cohort.download_end_s),
        ("compute_start", cohort.compute_start_s),
        ("compute_end", cohort.compute_end_s),
        ("upload_start", cohort.compute_end_s),
        ("upload_end", cohort.upload_end_s),
        ("drop", np.where(cohort.dropped, cohort.leave_s, np.nan)),
        ("crash", np.where(cohort.crashed, cohort.leave_s, np.nan)),
        ("offline", np.where(cohort.offline, cohort.leave_s, np.nan)),
        ("lost", np.where(cohort.lost, cohort.upload_end_s, np.nan)),
    ):
        happened = np.isfinite(times)
        events.append((name, times[happened], cohort.work.clients[happened]))
    return events


def _metric_columns(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics.get(name, math.nan) for name in METRICS}


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
