"""The asynchronous server: keeps clients at work, and makes a model of every K updates.

The server does one thing at a time. At an instant it first takes in what has ended by then, in the
order of time, until K updates are there; then it aggregates them (its overhead), evaluates if that
is due, and sends new clients out, each with the model of that moment. Updates that arrive while it
is busy wait, and so do the places of their clients: at most `concurrency` clients are between being
sent out and being taken in.

A client's jobs are numbered for the draws of chance (its batches, sketch, jitter and failures) as
rounds are in a synchronous run: the number is that of the round which would begin with the same
model, or one more than the client's last if that is more. So no job repeats an earlier one, and
where both kinds of server ask the same of a client, they get the same.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import simpy
from simpy.events import EventPriority

from wirelessfl.errors import InputError
from wirelessfl.learning.aggregation import Sampling
from wirelessfl.network.link import timeout_at
from wirelessfl.randomness import uniform
from wirelessfl.simulation.attempt import Attempt
from wirelessfl.simulation.base_server import BaseServer
from wirelessfl.simulation.client import Bools, Floats
from wirelessfl.simulation.journal import Span
from wirelessfl.simulation.record import joined
from wirelessfl.simulation.training import Learned
from wirelessfl.strategy.asynchronous import Asynchronous
from wirelessfl.strategy.observation import RoundFeedback

MOST_IN_VAIN = 2_000  # attempts, and ten for each place, in a row; then none will ever succeed
_AFTER_ALL_OTHERS = EventPriority(2)  # SimPy's own are 0 and 1


class EndOfInstant(simpy.Event):
    """Happens now, after everything else that happens now."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        env.schedule(self, _AFTER_ALL_OTHERS)


class AsyncServer(BaseServer):
    """One asynchronous federated run; arguments as for `BaseServer`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        assert isinstance(self._strategy, Asynchronous)
        self._rule = self._strategy
        self._at_work: dict[int, Attempt] = {}  # by client, until taken in
        self._over: list[Attempt] = []  # those of them that have ended, by time
        self._taken: list[Attempt] = []  # since the last aggregation
        self._numbers = np.zeros(self._scenario.devices.count, np.int64)  # of clients' last jobs
        self._dispatches = 0
        self._woken = self._env.event()
        self._cut_s = self._time_limit_s - self._scenario.server.overhead_s
        limited = np.isfinite(self._cut_s)
        at_s = max(self._cut_s, self._env.now)
        self._cut = timeout_at(self._env, at_s) if limited else self._env.event()

    def _rounds(self) -> Generator[simpy.Event, object, None]:
        now_s = self._env.now
        available = self._observer.available(now_s)
        self._journal.initial(now_s, int(available.sum()), self._evaluate())
        round, goes_on = 1, True
        while goes_on:
            self._look(round)
            goes_on = yield from self._round(round)
            round += 1

    def _look(self, round: int) -> None:
        """What is known as a model update begins, and what is planned for it."""
        now_s = self._env.now
        self._seen = self._observed(round, self._observer.available(now_s))
        self._plan = self._rule.plan(self._seen)
        self._renew_s = now_s + self._plan.renew_s

    def _round(self, round: int) -> Generator[simpy.Event, object, bool]:
        """One model update; false if it is the last, or does not come about."""
        env, server, metrics = self._env, self._scenario.server, dict[str, float]()
        start_s, on = env.now, int(self._observer.available(env.now).sum())
        full = yield from self._gather(round)
        attempts, self._taken = self._taken, []
        attempts.sort(key=lambda attempt: attempt.client)
        version = self._training.version
        learned, received = _NOTHING, np.zeros(len(attempts), bool)
        weights = np.full(len(attempts), np.nan)
        if full:
            yield env.timeout(server.overhead_s)
            learned, received, weights = self._aggregate(round, attempts)
            if self._evaluation_due(round):
                yield env.timeout(server.evaluate_time_s)
                metrics = self._evaluate()
        goes_on = full and not self.target_reached and round < self._scenario.stop.rounds
        rest = [] if goes_on else self._give_up()
        if attempts or rest:
            records = [attempt.record(version - attempt.version) for attempt in attempts]
            records += [
                attempt.record(self._training.version - attempt.version) for attempt in rest
            ]
            self._journal.round(
                Span(round, start_s, env.now),
                joined(records),
                on,
                self._plan,
                np.append(weights, np.full(len(rest), np.nan)),
                np.append(received, np.zeros(len(rest), bool)),
                learned,
                self._training.version,
                metrics,
            )
            self._report(round, len(attempts), metrics)
        return goes_on

    def _gather(self, round: int) -> Generator[simpy.Event, object, bool]:
        """Keep clients at work until K updates are there; false if the run ends before.

        Raises:
            InputError: If no client ever gets done and no time limit ends the run.
        """
        env, missing, waits, in_vain = self._env, self._plan.buffer, False, 0
        most = max(MOST_IN_VAIN, 10 * self._plan.at_work)
        while missing:
            if env.now >= self._cut_s:
                return False
            if env.now >= self._renew_s:
                self._look(round)
                in_vain += 1
            self._fill_places()
            if not self._over:
                on_s = min(self._next_available_s(), self._renew_s)
                if not self._at_work:
                    if on_s >= self._cut_s or np.isinf(on_s):
                        self.nobody_left = bool(np.isinf(on_s))
                        return False
                    if not waits:
                        self._journal.waits(round, env.now)
                    waits = True
                yield from self._sleep(on_s)
            while missing and self._over:
                attempt = self._over.pop(0)
                del self._at_work[attempt.client]
                self._taken.append(attempt)
                completed = bool(attempt.completed[0])
                missing, in_vain = missing - completed, 0 if completed else in_vain + 1
            if in_vain > most and np.isinf(self._cut_s):
                raise InputError(
                    f"no update has arrived in {in_vain} attempts in a row (until t={env.now:.6g} "
                    "s): give clients more time (server.deadline), or end the run (stop.time)"
                )
        return True

    def _sleep(self, until_s: float) -> Generator[simpy.Event, object, None]:
        """Until the end of the instant in which something ends, or at `until_s`, or cut short."""
        self._woken = self._env.event()
        events = [self._woken, self._cut]
        if until_s < self._cut_s:
            events.append(timeout_at(self._env, until_s))
        yield self._env.any_of(events)
        yield EndOfInstant(self._env)

    def _idle(self) -> Bools:
        """Who is not at work, and may be sent out. [clients]"""
        idle = np.ones(len(self._numbers), bool)
        idle[list(self._at_work)] = False
        return idle & (self._plan.odds > 0)

    def _free(self) -> int:
        """Places that are free; who is at work, but would not be sent out by now, takes none."""
        taken = np.count_nonzero(self._plan.odds[list(self._at_work)])
        return self._plan.at_work - int(taken)

    def _next_available_s(self) -> float:
        """When somebody may be found for a free place; infinity if none is free."""
        if self._free() <= 0:
            return np.inf
        now_s = self._env.now
        on_s = self._observer.next_available_s(now_s, self._idle())
        return max(on_s, float(np.nextafter(now_s, np.inf)))

    def _fill_places(self) -> None:
        """Send clients out until enough are at work, or nobody is left to be called upon."""
        free = self._free()
        if free <= 0:
            return
        idle = np.flatnonzero(self._observer.available(self._env.now) & self._idle())
        for _ in range(min(free, len(idle))):
            draw = float(uniform(self._scenario.seed, "dispatch", self._dispatches))
            self._dispatches += 1
            client = self._rule.choose(self._plan, idle, draw)
            idle = idle[idle != client]
            self._send_out(client)

    def _send_out(self, client: int) -> None:
        env, version = self._env, self._training.version
        number = max(version, int(self._numbers[client])) + 1
        self._numbers[client] = number
        clients = np.array([client])
        ranks = self._plan.k[clients]
        jobs = self._training.begin(number, clients, ranks)
        work = self._work_of(number, clients, ranks, np.array([env.now]))
        once = np.ones(1, np.int64)
        weight = float(self._rule.weights(self._plan, self._seen, clients, once)[0])
        attempt = Attempt(env, self._hardware, work, version, jobs, weight)
        self._at_work[client] = attempt
        if (battery := self._hardware.presence.battery) is not None:
            battery.begin(clients)
        attempt.done.callbacks.append(lambda _: self._end(attempt))
        if (deadline_s := self._scenario.server.deadline_s) is not None:
            env.timeout(deadline_s).callbacks.append(lambda _: self._end(attempt))

    def _end(self, attempt: Attempt) -> None:
        """An attempt is over, or given up: by the deadline, or because the run ends."""
        if attempt.settled:
            return
        attempt.settle()
        if (battery := self._hardware.presence.battery) is not None:
            battery.spend(attempt.work.clients, attempt.energy.total_j, attempt.emptied)
        self._over.append(attempt)
        if not self._woken.triggered:
            self._woken.succeed()

    def _give_up(self) -> list[Attempt]:
        """Everybody still at work, cancelled, with those that were not taken in any more."""
        rest = sorted(self._at_work.values(), key=lambda attempt: attempt.client)
        for attempt in rest:
            self._end(attempt)
        return rest

    def _aggregate(self, round: int, attempts: Sequence[Attempt]) -> tuple[Learned, Bools, Floats]:
        """Make the next model; what was learnt, from whose update, and their weights. [attempts]"""
        clients = np.array([attempt.client for attempt in attempts])
        versions = np.array([attempt.version for attempt in attempts])
        received = np.array([bool(attempt.completed[0]) for attempt in attempts])
        staleness = self._training.version - versions
        weights = np.array([attempt.weight for attempt in attempts])
        weights *= self._rule.discount(staleness)
        learned = self._training.finish(
            [job for attempt in attempts for job in attempt.jobs],
            received,
            weights,
            self._plan.server_step,
            Sampling(
                round=round,
                shares=self._seen.weights[clients],
                largest_weight=float(weights.max()),
                largest_probability=float(self._plan.q.max()),
            ),
        )
        for useless in np.flatnonzero(received)[~learned.useful]:
            attempts[useless].spoil(np.zeros(1, np.int64))
            received[useless] = False
        self._rule.observe(self._told(round, attempts, received, weights, learned))
        return learned, received, np.where(received, weights, np.nan)

    def _told(
        self,
        round: int,
        attempts: Sequence[Attempt],
        received: Bools,
        weights: Floats,
        learned: Learned,
    ) -> RoundFeedback:
        """What the server measured of those it took in."""
        came = [attempt for attempt, there in zip(attempts, received, strict=True) if there]
        clients = np.array([attempt.client for attempt in came], np.int64)
        return RoundFeedback(
            round=round - 1,
            asked=np.array([attempt.client for attempt in attempts]),
            clients=clients,
            weights=weights[received],
            q=self._plan.q[clients],
            k=np.array([attempt.work.ranks[0] for attempt in came], np.int64),
            squared_norms=learned.squared_norms,
            update_squared_norm=learned.update_squared_norm,
            update_product=learned.update_product,
            losses=learned.losses,
            compute_s=np.array([(a.waiting_s + a.computing_s)[0] for a in came]),
            upload_s=np.array([a.uploading_s[0] for a in came]),
            duration_s=self._env.now - self._seen.time_s,
        )


_NOTHING = Learned(np.zeros(0, bool), np.zeros(0), 0.0, np.zeros(0))
