"""Cost of whole timing-only runs: 10,000 participants a round, up to a million clients.

One cell of 100 MHz in each direction; every client sends and receives the 0.18 Mbit of a rank-4
adapter of the tiny ViT. A round takes 16 simulated seconds: a client downloads for 3.2 s and
uploads for 4.9 s on average, which at a coherence time of 10 ms is 800 slots.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import harness
from harness import Case, UnavailableError

from wirelessfl.scenario import loads
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.simulation import simulate

NO_FADING = "fading: {kind: none}"
RAYLEIGH = "fading: {kind: rayleigh_block, coherence_time: 10 ms}"
ERGODIC = f"{RAYLEIGH}\n  fidelity: ergodic"

SCENARIO = """
name: scale
seed: 1
stop: {{rounds: {rounds}}}
network:
  uplink: {{bandwidth: 100 MHz, power_mode: per_rb}}
  downlink: {{bandwidth: 100 MHz}}
  path_loss: {{kind: tr38901, environment: umi}}
  antenna_gain: 10 dB
  cells: {{radius: 200 m, min_distance: 10 m}}
  {air}
devices:
  count: {clients}
  mix: {{orin-nano: 0.4, raspberry-pi-4: 0.6}}
learning:
  task: {{kind: none, samples: {samples}, classes: 5}}
  model: {{kind: tiny-vit}}
  lora: {{rank: 4, alpha: 8}}
strategy: {strategy}
trace: {{events: {events}}}
"""
EVERYBODY = "{{kind: full, bandwidth: {{kind: {rule}}}}}"
SOME = "{{kind: uniform, bandwidth: {{kind: {rule}}}, participation: {{expected: {expected}}}}}"


def run(
    clients: int,
    rounds: int,
    air: str,
    participants: int | None = None,
    rule: str = "equal_share",
    events: bool = True,
) -> Callable[[float], Mapping[str, float]]:
    """A run with everybody or so many expected participants, to be scaled, timed and counted."""

    def measure(scale: float) -> Mapping[str, float]:
        if "fidelity" in air and "fidelity" not in NetworkConfig.model_fields:
            raise UnavailableError("this version has no network.fidelity")
        count = max(4, round(clients * scale))
        taking_part = count if participants is None else max(2, round(participants * scale))
        strategy = EVERYBODY if taking_part == count else SOME
        scenario = loads(
            SCENARIO.format(
                rounds=rounds if scale == 1 else 2,
                air=air,
                clients=count,
                samples=20 * count,
                strategy=strategy.format(rule=rule, expected=taking_part),
                events=str(events).lower(),
            )
        )
        started = time.perf_counter()
        trace = simulate(scenario)
        elapsed_s = time.perf_counter() - started
        rows = len(trace.clients)
        table_rows = rows + len(trace.events)
        tables_s = time.perf_counter() - started - elapsed_s
        host = trace.summary["host"]
        return {
            "value": elapsed_s,
            "elapsed_s": elapsed_s,
            "setup_s": host["setup_s"],
            "event_loop_s": host["event_loop_s"],
            "us_per_participant_round": 1e6 * elapsed_s / rows,
            "participant_rounds": rows,
            "table_rows": table_rows,
            "tables_s": tables_s,
        }

    return measure


def growth(clients: int, participants: int) -> Case:
    """A case of the table that shows how cost grows with the number of clients."""
    return Case(
        f"{clients:,} clients, {participants:,} participants a round, 20 rounds, no fading",
        run(clients, 20, NO_FADING, participants),
    )


CASES = {
    "flat": Case(
        "100 rounds x 10,000 participants, no fading",
        run(10_000, 100, NO_FADING),
        target=3.0,
    ),
    "flat-without-events": Case(
        "the same without the events table (trace: {events: false})",
        run(10_000, 100, NO_FADING, events=False),
        target=3.0,
    ),
    "rayleigh": Case(
        "100 rounds x 10,000 participants, exact Rayleigh fading in blocks of 10 ms",
        run(10_000, 100, RAYLEIGH),
        target=20.0,
    ),
    "rayleigh-held": Case(
        "the same with shares held for the round (bandwidth: equal_finish)",
        run(10_000, 100, RAYLEIGH, rule="equal_finish"),
    ),
    "ergodic": Case(
        "100 rounds x 10,000 participants, fidelity: ergodic",
        run(10_000, 100, ERGODIC),
        target=2.0,
    ),
    "million": Case(
        "10 rounds x 1,000,000 clients, 1% of them taking part",
        run(1_000_000, 10, NO_FADING, 10_000),
        target=15.0,
        most_mib=2048.0,
    ),
    "million-rayleigh": Case(
        "the same with exact Rayleigh fading in blocks of 10 ms",
        run(1_000_000, 10, RAYLEIGH, 10_000),
    ),
    "growth-1e3": growth(1_000, 1_000),
    "growth-1e4": growth(10_000, 10_000),
    "growth-1e5": growth(100_000, 10_000),
    "growth-1e6": growth(1_000_000, 10_000),
    "growth-all-1e5": growth(100_000, 100_000),
}


def main(arguments: list[str] | None = None) -> None:
    """See `harness`."""
    harness.main(__file__, CASES, arguments)


if __name__ == "__main__":
    main()
