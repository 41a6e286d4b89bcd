"""Compiled walks over participant sets, a set at a time, that look at its members only.

They are the loops of `wirelessfl.strategy.uplink_time`, where the formulas are explained: with few
members in sets of many clients, whole arrays would mostly sort and add up zeros. All arrays are
[clients, sets] and contiguous; airtime is members * t, and 0 for those who are not in a set.
"""

from __future__ import annotations

import numpy as np

from wirelessfl.compiled import compiled
from wirelessfl.strategy.observation import Floats, Ints

MOST_STEPS = 100
FEW = 2000  # members up to which a set is put in order without memory of its own
TOLERANCE = 1e-12
TINY = np.finfo(np.float64).tiny


@compiled
def _sorted_members(inside: Floats, tau_s: Floats, who: Ints) -> int:
    """Fills `who` with the members of a set in order of (tau, number); how many.

    Few are put in order by Shell's sort, which takes no memory; many by a merge sort.
    """
    count = 0
    for n in range(inside.size):
        if inside[n] > 0.0:
            who[count] = n
            count += 1
    if count > FEW:
        members = who[:count].copy()
        who[:count] = members[np.argsort(tau_s[members], kind="mergesort")]
        return count
    gap = 1
    while gap < count:
        gap = 3 * gap + 1
    while gap > 1:
        gap //= 3
        for i in range(gap, count):
            n, place = who[i], i
            while place >= gap:
                other = who[place - gap]
                if tau_s[other] < tau_s[n] or (tau_s[other] == tau_s[n] and other < n):
                    break
                who[place] = other
                place -= gap
            who[place] = n
    return count


@compiled
def queue(members: Floats, tau_s: Floats, airtime_s: Floats) -> tuple[Floats, Ints]:
    """When uploads one after another end, and who began the busy period that ends last. [sets]"""
    clients, sets = members.shape
    end_s, last = np.zeros(sets), np.zeros(sets, np.int64)
    who = np.empty(clients, np.int64)
    for s in range(sets):
        total = 0.0
        for place in range(_sorted_members(members[:, s], tau_s[:, s], who) - 1, -1, -1):
            n = who[place]
            total += airtime_s[n, s]
            if tau_s[n, s] + total >= end_s[s]:
                end_s[s], last[s] = tau_s[n, s] + total, n
    return end_s, last


@compiled
def queue_without(
    members: Floats, tau_s: Floats, airtime_s: Floats
) -> tuple[Floats, Floats, Floats]:
    """The queue as each client meets it.

    Returns:
        When those before it have finished; airtime of those after it; when all but it have
        finished. [clients, sets]
    """
    clients, sets = members.shape
    before, later, without = np.empty((3, clients, sets))
    who = np.empty(clients, np.int64)
    until, suffix, highest_before, highest_after = np.zeros((4, clients + 1))
    for s in range(sets):
        count = _sorted_members(members[:, s], tau_s[:, s], who)
        suffix[count] = highest_after[count] = 0.0
        for place in range(count - 1, -1, -1):
            suffix[place] = suffix[place + 1] + airtime_s[who[place], s]
            until[place] = tau_s[who[place], s] + suffix[place]
            highest_after[place] = max(highest_after[place + 1], until[place])
        for place in range(count):
            highest_before[place + 1] = max(highest_before[place], until[place])
        for n in range(clients):
            low, high, tau = 0, count, tau_s[n, s]
            while low < high:
                middle = (low + high) // 2
                other = who[middle]
                if tau_s[other, s] < tau or (tau_s[other, s] == tau and other < n):
                    low = middle + 1
                else:
                    high = middle
            after = low + 1 if members[n, s] > 0.0 else low
            before[n, s] = highest_before[low] - airtime_s[n, s]
            later[n, s] = suffix[after]
            without[n, s] = max(max(before[n, s], highest_after[after]), 0.0)
    return before, later, without


@compiled
def equal_finish(start_s: Floats, late_s: Floats, airtime_s: Floats) -> Floats:
    """Root T of sum t/(T - late) = 1 by Newton's method, from a T that is not too long. [sets]"""
    clients, sets = airtime_s.shape
    end_s = start_s.copy()
    who = np.empty(clients, np.int64)
    for s in range(sets):
        count = 0
        for n in range(clients):
            if airtime_s[n, s] > 0.0:
                who[count] = n
                count += 1
        if end_s[s] <= 0.0 or count == 0:
            continue
        for _ in range(MOST_STEPS):
            load, slope = 0.0, 0.0
            for place in range(count):
                gap = end_s[s] - late_s[who[place], s]
                part = airtime_s[who[place], s] / gap
                load += part
                slope += part / gap
            step = (load - 1.0) / slope
            end_s[s] += step
            if step <= TOLERANCE * end_s[s]:
                break
    return end_s


@compiled
def added_in_queue(
    before: Floats, later: Floats, without: Floats, cap_s: float, tau_s: Floats, send_s: Floats
) -> Floats:
    """What a client adds to each set's queue if it is ready at tau and sends so long."""
    added = np.empty_like(without)
    for n in range(without.shape[0]):
        for s in range(without.shape[1]):
            end = max(tau_s[n, s] + later[n, s], before[n, s]) + send_s[n, s]
            added[n, s] = min(max(end, without[n, s]), cap_s) - without[n, s]
    return added


@compiled
def added_together(
    without: Floats,
    size: Floats,
    floor_s: Floats,
    cap_s: float,
    late_s: Floats,
    airtime_s: Floats,
) -> Floats:
    """What a client adds to a set that is one flow size/(T - without)."""
    added = np.empty_like(without)
    for n in range(without.shape[0]):
        for s in range(without.shape[1]):
            rest, single = without[n, s], late_s[n, s] + airtime_s[n, s]
            apart = rest - single
            end = np.sqrt(apart * apart / 4 + size[n, s] * airtime_s[n, s]) + (single + rest) / 2
            base = min(max(rest, floor_s[s]), cap_s)
            added[n, s] = min(max(end, floor_s[s]), cap_s) - base
    return added


@compiled
def rest_as_one(
    members: Floats, late_s: Floats, airtime_s: Floats, end_s: Floats, shortest_s: Floats
) -> tuple[Floats, Floats, Floats]:
    """A set without each client as one flow size/(T - B) that has its load and slope at `end_s`.

    Returns:
        When it ends alone, not before `shortest_s`; size; the client's part of the set's slope.
        [clients, sets]
    """
    clients, sets = members.shape
    without, size, part = np.empty((3, clients, sets))
    loads, slopes = np.zeros((2, clients))
    for s in range(sets):
        slope, count = 0.0, 0.0
        for n in range(clients):
            loads[n] = slopes[n] = 0.0
            count += members[n, s]
            if airtime_s[n, s] > 0.0:
                loads[n] = airtime_s[n, s] / (end_s[s] - late_s[n, s])
                slopes[n] = loads[n] / (end_s[s] - late_s[n, s])
                slope += slopes[n]
        for n in range(clients):
            part[n, s] = slopes[n] / slope if slope > 0.0 else 0.0
            if count - members[n, s] < 0.5:
                without[n, s] = size[n, s] = 0.0
                continue
            load = min(max(1.0 - loads[n], 0.0), 1.0)
            left = max(slope - slopes[n], load / end_s[s], TINY)
            size[n, s] = load * load / left
            without[n, s] = max(end_s[s] - load * (1.0 - load) / left, shortest_s[n, s])
    return without, size, part
