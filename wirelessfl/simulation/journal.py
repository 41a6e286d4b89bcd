"""What a run writes down: one row a round, one a participant, and the events of the timeline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wirelessfl.arrays import stable_order
from wirelessfl.device.fleet import Fleet
from wirelessfl.network.channel import Channel
from wirelessfl.simulation.record import OUTCOMES, Record
from wirelessfl.simulation.training import Learned
from wirelessfl.strategy.observation import Plan
from wirelessfl.trace import Trace
from wirelessfl.trace.recorder import Recorder
from wirelessfl.trace.tables import EVENTS, SERVER, Words

LEFT = ("dropped", "crashed", "offline", "lost")  # outcomes that the rounds table counts
METRICS = ("loss", "accuracy", "perplexity")

_Events = tuple[str, NDArray[np.float64], NDArray[np.int64]]  # what, when and to whom [events]
_SERVER = np.array([SERVER])


@dataclass(frozen=True)
class Span:
    """A round, and the simulated times of its beginning and end."""

    round: int
    start_s: float
    end_s: float


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
        unknown = (
            *("expected_round_s", "server_step", "noise_to_signal", "noise_to_signal_error"),
            *("relative_rounds", "update_norm"),
            *("mean_rank", "mean_staleness", "train_loss"),
        )
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
        span: Span,
        record: Record,
        available: int,
        plan: Plan,
        weights: NDArray[np.float64],
        received: NDArray[np.bool_],
        learned: Learned,
        version: int,
        metrics: dict[str, float],
    ) -> None:
        """A round that is over.

        Args:
            span: Which, and when.
            record: Whose work counts for it. [participants]
            available: Clients that could be called upon when it began.
            plan: What the strategy decided.
            weights: Weight of each participant's update. [participants]
            received: Whose update became part of the model. [participants]
            learned: What these updates showed.
            version: Version of the model afterwards.
            metrics: Its quality, if it was evaluated.
        """
        new_plan, self._last_plan = plan is not self._last_plan, plan
        self._recorder.append_round(
            {
                "round": span.round,
                "start_s": span.start_s,
                "end_s": span.end_s,
                "duration_s": span.end_s - span.start_s,
                "phase": plan.phase,
                "planned": new_plan,
                "available": available,
                "participants": len(record.clients),
                "completed": int(record.became("completed").sum()),
                **{left: int(record.became(left).sum()) for left in LEFT},
                "expected_participants": float(plan.q.sum()),
                "expected_round_s": plan.expected_round_s,
                "server_step": plan.server_step,
                "noise_to_signal": plan.noise_to_signal,
                "noise_to_signal_error": plan.noise_to_signal_error,
                "relative_rounds": plan.relative_rounds,
                "update_norm": math.sqrt(learned.update_squared_norm),
                "mean_rank": _mean(record.ranks),
                "mean_staleness": _mean(record.staleness[received]),
                "downlink_bits": record.air_bits,
                "uplink_bits": float(record.uploaded_bits.sum()),
                "energy_j": float(record.energy.total_j.sum()),
                "train_loss": _mean(learned.losses),
                "server_version": version,
                **_metric_columns(metrics),
            }
        )
        if len(record.clients):
            columns = self._client_columns(span, record, plan, weights, received, learned)
            self._recorder.append_clients(columns)
        self._events(
            span.round,
            [("round_start", span.start_s)]
            + [("plan", span.start_s)] * new_plan
            + [("aggregate", span.end_s)] * bool(received.any())
            + [("evaluate", span.end_s)] * bool(metrics),
            record,
        )

    def _client_columns(
        self,
        span: Span,
        record: Record,
        plan: Plan,
        weights: NDArray[np.float64],
        received: NDArray[np.bool_],
        learned: Learned,
    ) -> dict[str, Any]:
        clients, n = record.clients, len(record.clients)
        loss, norm = np.full(n, np.nan), np.full(n, np.nan)
        loss[received], norm[received] = learned.losses, np.sqrt(learned.squared_norms)
        return {
            "round": np.full(n, span.round),
            "client": clients,
            "profile": Words(self._fleet.profiles, self._fleet.kind[clients]),
            "cell": record.cell,
            "distance_m": self._distances_m(clients, record.download_start_s),
            "probability": plan.q[clients],
            "rank": record.ranks,
            "weight": weights,
            "staleness": record.staleness,
            "outcome": Words(OUTCOMES, record.outcome),
            "download_start_s": record.download_start_s,
            "download_end_s": record.download_end_s,
            "compute_start_s": record.compute_start_s,
            "compute_end_s": record.compute_end_s,
            "upload_start_s": record.compute_end_s,
            "upload_end_s": record.upload_end_s,
            "download_s": record.download_end_s - record.download_start_s,
            "queue_s": record.compute_start_s - record.download_end_s,
            "compute_s": record.computing_s,
            "upload_s": record.uploading_s,
            "downlink_bits": record.downloaded_bits,
            "uplink_bits": record.uploaded_bits,
            "receive_j": record.energy.receive_j,
            "idle_j": record.energy.idle_j,
            "compute_j": record.energy.compute_j,
            "transmit_j": record.energy.transmit_j,
            "energy_j": record.energy.total_j,
            "train_loss": loss,
            "update_norm": norm,
        }

    def _distances_m(
        self, clients: NDArray[np.int64], at_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """How far each client was from its base station when it was put to work. [n]"""
        distance_m = np.empty(len(clients))
        for t_s in np.unique(at_s):
            then = at_s == t_s
            distance_m[then] = self._channel.distances_m(clients[then], float(t_s))
        return distance_m

    def waits(self, number: int, now_s: float) -> None:
        """Nobody can be called upon, and round `number` has to wait."""
        self._events(number, [("wait", now_s)])

    def _events(
        self, number: int, own: list[tuple[str, float]], record: Record | None = None
    ) -> None:
        """Events of a round (or between rounds): those of its clients, then the server's own."""
        if not self._keep_events:
            return
        happened = [] if record is None else _client_events(record)
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


def _client_events(record: Record) -> list[_Events]:
    """What happened to whom, by kind of event."""
    events = []
    for name, times in (
        ("download_end", record.download_end_s),
        ("compute_start", record.compute_start_s),
        ("compute_end", record.compute_end_s),
        ("upload_start", record.compute_end_s),
        ("upload_end", record.upload_end_s),
        ("drop", np.where(record.became("dropped"), record.leave_s, np.nan)),
        ("crash", np.where(record.became("crashed"), record.leave_s, np.nan)),
        ("offline", np.where(record.became("offline"), record.leave_s, np.nan)),
        ("lost", np.where(record.became("lost"), record.upload_end_s, np.nan)),
    ):
        happened = np.isfinite(times)
        events.append((name, times[happened], record.clients[happened]))
    return events


def _metric_columns(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics.get(name, math.nan) for name in METRICS}


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
