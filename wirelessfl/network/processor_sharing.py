"""Closed forms for flows that share a link whose rates are constant `[flows]`.

Processor sharing: virtual time passes at dV/dt = 1 / (weight present), and a flow ready at tau ends
when V = V(tau) + need. With unit weights and the time each flow needs alone, all get the same
bandwidth; with bits as the need and seconds per bit as the weight, all get the same rate.
Working together: the work ahead of the link is that of a queue, whoever does it, and those present
end with their busy period.
If nobody leaves, the latter two are cumulative sums; with leavers, one walk over the events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wirelessfl.arrays import stable_order
from wirelessfl.compiled import compiled
from wirelessfl.network.sharing import Floats, Ints
from wirelessfl.network.sharing_kernels import walk_events

_TIE = 1e-13  # relative: a flow ready this little before a busy period ends opens a new one
_SMALLEST_SHRUNK = 1e-100  # then what is left is counted anew, long before it underflows


@dataclass(frozen=True)
class Shared:
    """How far processor sharing has come at some time.

    Attributes:
        end_s: When each flow ended, infinity if it has not `[flows]`.
        left: Need left of each flow, at that time or when it was abandoned `[flows]`.
    """

    end_s: Floats
    left: Floats


def processor_sharing(
    need: Floats,
    weight: Floats,
    start_s: Floats,
    leave_s: Floats,
    begin_s: float,
    until_s: float = math.inf,
) -> Shared:
    """Follow flows that share a link in virtual time.

    While flows come or leave they are walked through in order (`sharing_kernels.walk_events`); what
    is then left is a cumulative sum.

    Args:
        need: Virtual time each flow needs.
        weight: By which each flow slows virtual time while it is present.
        start_s: When each flow is ready, not before `begin_s`.
        leave_s: When each is abandoned; one that ends at that moment has ended.
        begin_s: When virtual time is zero.
        until_s: When to stop.
    """
    stays = start_s <= leave_s
    coming = np.flatnonzero(stays & (start_s > begin_s) & (start_s < until_s))
    there = np.flatnonzero(stays & (start_s <= begin_s))
    leaving = np.flatnonzero(stays & (leave_s < until_s))
    event_s = np.concatenate([start_s[coming], leave_s[leaving]])
    order = stable_order(event_s)
    end_s, left, goal, present, time_s, virtual = walk_events(
        need,
        weight,
        there,
        event_s[order],
        order < len(coming),
        np.concatenate([coming, leaving])[order],
        begin_s,
        0.0,
    )
    last = np.flatnonzero(present)
    last = last[stable_order(goal[last])]
    loads = np.cumsum(weight[last][::-1])[::-1]
    ends = time_s + np.cumsum(np.diff(goal[last], prepend=virtual) * loads)
    ended = int(np.searchsorted(ends, until_s, side="right"))
    if ended:
        time_s, virtual = float(ends[ended - 1]), float(goal[last[ended - 1]])
    if math.isfinite(until_s):
        load = float(loads[ended]) if ended < len(last) else 0.0
        virtual += max(until_s - time_s, 0.0) / load if load else 0.0
    end_s[last[:ended]] = np.maximum(ends[:ended], start_s[last[:ended]])
    left[last[ended:]] = goal[last[ended:]] - virtual
    left[np.isfinite(end_s)] = 0.0
    return Shared(end_s, np.maximum(left, 0.0))


def processor_sharing_left(weight: Floats, start_s: Floats, end_s: Floats, time_s: float) -> Floats:
    """Virtual time that flows still need at `time_s`, given all that end later `[flows]`."""
    event_s, order = sweep(np.maximum(start_s, time_s), end_s)
    load = np.cumsum(np.append(weight, -weight)[order])
    waited = np.diff(event_s, prepend=time_s)
    idle = np.cumsum(np.where(order < len(weight), 1, -1)) == 0
    pace = np.divide(1.0, load, out=np.zeros(len(load)), where=~idle)
    virtual = np.empty(len(order))
    virtual[order] = np.cumsum(waited * np.append(0.0, pace[:-1]))
    return virtual[len(start_s) :] - virtual[: len(start_s)]


def busy_period_ends(alone_s: Floats, start_s: Floats) -> Floats:
    """When flows end that always share a link such that all present finish together `[flows]`.

    The work ahead of the link, W_k = max(W_{k-1}, tau_k) + alone_k, does not depend on who does it.
    """
    order = stable_order(start_s)
    start = start_s[order]
    clear_s = _clear_s(alone_s[order], start)
    opens = start[1:] >= clear_s[:-1] * (1.0 - _TIE)
    last = np.append(np.flatnonzero(opens), len(start) - 1)  # of each busy period
    end_s = np.empty(len(start))
    end_s[order] = clear_s[last[np.append(0, np.cumsum(opens))]]
    return end_s


def fifo_ends(alone_s: Floats, start_s: Floats, order: Ints) -> Floats:
    """When flows end that are served one at a time, in the given order of readiness `[flows]`."""
    end_s = np.empty(len(order))
    end_s[order] = _clear_s(alone_s[order], start_s[order])
    return end_s


def busy_period_left(alone_s: Floats, start_s: Floats, time_s: float) -> Floats:
    """Time alone that flows still need at `time_s`, given all that end later `[flows]`.

    Those present have shares in proportion to what they need, so all of them shrink by the factor
    by which the work shrinks, from one arrival to the next.
    """
    order = stable_order(start_s)
    order = order[start_s[order] < time_s]
    left_s = alone_s.copy()
    if order.size:
        start = start_s[order]
        clear_s = start[0] + np.cumsum(alone_s[order])
        kept = np.maximum(clear_s - np.append(start[1:], time_s), 0.0) / (clear_s - start)
        left_s[order] *= np.cumprod(kept[::-1])[::-1]
    return left_s


def sharing_squares(weight: Floats, start_s: Floats, end_s: Floats) -> Floats:
    """The integral of (rate / bits sent)^2 of flows that share a link as in `processor_sharing`.

    All rates go with 1 / (weight present), so with C = the integral of that and D = that of its
    square, it is (D(end) - D(start)) / (C(end) - C(start))^2.

    Args:
        weight: By which each flow slows the others.
        start_s: When each begins.
        end_s: When each ends, later.

    Returns:
        Per second: 1 / the length of a transfer whose rate never changed `[flows]`.
    """
    event_s, order = sweep(start_s, end_s)
    return _sum_squares(weight, event_s, order)


@compiled
def _sum_squares(weight: Floats, event_s: Floats, order: Ints) -> Floats:
    """What `sharing_squares` says, in one pass.

    Args:
        weight: Of each flow `[flows]`.
        event_s: When flows come and end, in order `[events]`.
        order: Which event each is: flows that come, then, numbered on, those that end `[events]`.
    """
    flows, count = weight.size, 0
    per_s, virtual_then, squared_then = np.empty(flows), np.empty(flows), np.empty(flows)
    load, virtual, squared = 0.0, 0.0, 0.0  # weight present, and the integrals of 1/load, 1/load^2
    for place in range(order.size):
        if count > 0:
            waited_s = event_s[place] - event_s[place - 1]
            virtual += waited_s / load
            squared += waited_s / load / load
        flow = order[place]
        if flow < flows:
            load, count = load + weight[flow], count + 1
            virtual_then[flow], squared_then[flow] = virtual, squared
        else:
            flow -= flows
            load, count = load - weight[flow], count - 1
            per_s[flow] = (squared - squared_then[flow]) / (virtual - virtual_then[flow]) ** 2
            if count == 0:
                load = 0.0
    return per_s


def busy_period_squares(
    alone_s: Floats, start_s: Floats, leave_s: Floats, left: Floats, until_s: float
) -> Floats:
    """The integral up to `until_s` of (rate / bits at the start)^2 of flows that work together.

    With W_k of work ahead after event k (an arrival, or a departure) and D_k to the next, those
    present send the part D_k / W_k of what each has left, evenly. So for those who stay
    Q_k = D_k / W_k^2 + (1 - D_k / W_k)^2 Q_{k+1}, and for one that leaves at event l with the part
    f left it is Q_k - f^2 Q_l.

    Args:
        alone_s: Time each flow needs alone.
        start_s: When each is ready.
        leave_s: When each is abandoned if it has not ended, after it is ready.
        left: Which part of each is left then, or at `until_s`; 0 for those that end.
        until_s: When to stop.

    Returns:
        Per second: 1 / the length of a transfer whose rate never changed `[flows]`.
    """
    n, gone = len(alone_s), np.flatnonzero((left > 0) & (leave_s < until_s))
    event_s = np.minimum(np.append(start_s, leave_s[gone]), until_s)
    order = stable_order(event_s)
    event_s = event_s[order]
    change_s = np.append(alone_s, -(left * alone_s)[gone])[order]
    work_s = _clear_s(change_s, event_s) - event_s
    work_s[work_s <= 1e-9 * np.abs(change_s)] = math.inf  # nobody is left; nothing is sent
    part = np.minimum(np.diff(event_s, append=until_s) / work_s, 1.0)
    squares, later = [], 0.0
    for first, kept in zip(
        (part / work_s)[::-1].tolist(), ((1.0 - part) ** 2)[::-1].tolist(), strict=True
    ):
        later = first + kept * later
        squares.append(later)
    every = np.empty(len(order))
    every[order] = squares[::-1]
    per_s = every[:n]
    per_s[gone] -= left[gone] ** 2 * every[n:]
    return per_s


def working_together(
    alone_s: Floats, start_s: Floats, leave_s: Floats, until_s: float
) -> tuple[Floats, Floats]:
    """Follow flows, some of which leave, that share a link such that all present finish together.

    Those present shrink by one factor, so flow n has left alone_n F(t) / F(tau_n), and the work
    ahead is W = F S with S the sum of alone_n / F(tau_n) over those present. Between events W falls
    by one second a second; a leaver takes its part of S with it.

    Args:
        alone_s: Time each flow needs alone.
        start_s: When each is ready.
        leave_s: When each is abandoned; one that ends at that moment has ended.
        until_s: When to stop.

    Returns:
        When each flow ended, infinity if it has not; and the time alone that each still needs, at
        `until_s` or when it was abandoned.
    """
    end_s, left_s = np.full(len(alone_s), math.inf), alone_s.copy()
    stays = start_s <= leave_s
    coming, leaving = (np.flatnonzero(stays & (at_s < until_s)) for at_s in (start_s, leave_s))
    event_s = np.append(start_s[coming], leave_s[leaving])
    order = stable_order(event_s)
    who = np.append(coming, leaving)[order].tolist()
    scaled: dict[int, float] = {}  # alone_n / F(tau_n) of those present
    time_s, shrunk, total, largest = -math.inf, 1.0, 0.0, 0.0
    events = zip(event_s[order].tolist(), (order < len(coming)).tolist(), who, strict=True)
    for at_s, joins, flow in events:
        if scaled:
            clear_s = time_s + shrunk * total
            if at_s >= clear_s * (1.0 - _TIE):
                end_s[list(scaled)] = clear_s
                scaled.clear()
            else:
                shrunk *= (clear_s - at_s) / (clear_s - time_s)
        if not scaled:
            shrunk, total, largest = 1.0, 0.0, 0.0
        time_s = at_s
        if joins:
            scaled[flow] = float(alone_s[flow]) / shrunk
            total += scaled[flow]
            largest = max(largest, total)
        elif flow in scaled:
            gone = scaled.pop(flow)
            left_s[flow] = gone * shrunk
            total -= gone
        if 2.0 * total < largest or shrunk < _SMALLEST_SHRUNK:  # before precision is lost
            scaled = {n: part * shrunk for n, part in scaled.items()}
            shrunk, total = 1.0, math.fsum(scaled.values())
            largest = total
    if scaled:
        clear_s, last = time_s + shrunk * total, list(scaled)
        if clear_s <= until_s:
            end_s[last] = clear_s
        else:
            left_s[last] = np.array(list(scaled.values())) * (clear_s - until_s) / total
    left_s[np.isfinite(end_s)] = 0.0
    return np.minimum(end_s, np.where(np.isfinite(end_s), leave_s, math.inf)), left_s


def one_at_a_time(
    alone_s: Floats, start_s: Floats, leave_s: Floats, order: Ints, until_s: float
) -> tuple[Floats, Floats]:
    """Follow flows, some of which leave, that are served one at a time in the given order.

    Arguments and returns as for `working_together`; `order` is that of readiness.
    """
    end_s, left_s = np.full(len(alone_s), math.inf), alone_s.copy()
    columns = (column[order].tolist() for column in (alone_s, start_s, leave_s))
    clear_s = -math.inf
    for flow, need_s, ready_s, gives_up_s in zip(order.tolist(), *columns, strict=True):
        begin_s, stop_s = max(clear_s, ready_s), min(gives_up_s, until_s)
        if begin_s >= stop_s:
            continue
        if begin_s + need_s <= stop_s:
            end_s[flow], left_s[flow] = begin_s + need_s, 0.0
        else:
            left_s[flow] = need_s - (stop_s - begin_s)
        clear_s = min(begin_s + need_s, stop_s)
    return end_s, left_s


def sweep(start_s: Floats, end_s: Floats) -> tuple[Floats, Ints]:
    """Starts and ends in order of time: when, and which of `[starts, ends]`."""
    event_s = np.append(start_s, end_s)
    order = stable_order(event_s)
    return event_s[order], order


def _clear_s(alone_s: Floats, start_s: Floats) -> Floats:
    """When the link has done all work up to each flow, in order of readiness."""
    work = np.append(0.0, np.cumsum(alone_s))
    clear_s: Floats = work[1:] + np.maximum.accumulate(start_s - work[:-1])
    return clear_s
