"""Compiled walks over flows that share a link equally: from event to event, and slot to slot.

They are the loops of `wirelessfl.network.processor_sharing` and `wirelessfl.network.slot_sharing`,
where the sums behind them are explained.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush

import numpy as np

from wirelessfl.compiled import compiled
from wirelessfl.network.sharing import Bools, Floats, Ints

_ROUNDING = 1.0 + 1e-12
_NEVER_S = 1e300  # alone, for a flow that gets nothing through


@compiled
def walk_events(
    need: Floats,
    weight: Floats,
    there: Ints,
    event_s: Floats,
    joins: Bools,
    who: Ints,
    begin_s: float,
    others: float,
) -> tuple[Floats, Floats, Floats, Bools, float, float]:
    """Share a link in virtual time up to the last of some arrivals and departures.

    A heap holds the virtual time at which each flow present ends. Virtual time restarts at zero
    with every busy period, so that the heap stays small and keeps its precision.

    Args:
        need: Virtual time each flow needs `[flows]`.
        weight: By which each flow slows virtual time while it is present `[flows]`.
        there: Who is present at first.
        event_s: When flows join or leave, in order `[events]`.
        joins: Whether they join `[events]`.
        who: Which flow does; whoever leaves without being there changes nothing `[events]`.
        begin_s: When virtual time is zero.
        others: Weight of flows that are present throughout and will not end.

    Returns:
        When flows ended, or infinity; need left of those who ended or left; virtual time at which
        the others would end; who is present then; time and virtual time of the last event.
    """
    end_s, left, goal = np.full(need.size, math.inf), need.copy(), need.copy()
    present = np.zeros(need.size, np.bool_)
    heap = [(need[flow], flow) for flow in there]
    heapify(heap)
    count, load = there.size, others
    for flow in there:
        present[flow] = True
        load += weight[flow]
    time_s, virtual, heaviest = begin_s, 0.0, load
    for event in range(event_s.size):
        at_s, flow = event_s[event], who[event]
        while len(heap) > 0:
            ahead, first = heap[0]
            if present[first]:
                next_s = time_s + (ahead - virtual) * load
                if next_s > at_s:
                    break
                time_s, virtual = next_s, ahead
                end_s[first], left[first], present[first] = time_s, 0.0, False
                count, load = count - 1, load - weight[first]
            heappop(heap)
            if 2.0 * load < heaviest or count == 0:  # before differences lose their precision
                load = others
                for _, other in heap:
                    if present[other]:
                        load += weight[other]
                heaviest = load
        if count > 0 or others > 0.0:
            if at_s > time_s:
                virtual += (at_s - time_s) / load
        else:
            virtual = 0.0
        time_s = max(time_s, at_s)
        if joins[event]:
            goal[flow] = virtual + need[flow]
            heappush(heap, (goal[flow], flow))
            present[flow] = True
            count, load = count + 1, load + weight[flow]
            heaviest = max(heaviest, load)
        elif present[flow]:
            left[flow] = max(goal[flow] - virtual, 0.0)
            present[flow] = False
            count, load = count - 1, load - weight[flow]
    return end_s, left, goal, present, time_s, virtual


@compiled
def share_slots(
    pace_bps: Floats,
    edge_s: Floats,
    rounding_s: Floats,
    ready_s: Floats,
    leave_s: Floats,
    crumb_bits: Floats,
    left_bits: Floats,
    coming: Ints,
    leaving: Ints,
) -> Floats:
    """Share a link equally, slot by slot.

    In a slot, only flows that could end in it, and those who come or leave, are followed from event
    to event. All others get the same Hz s.

    Args:
        pace_bps: Rates with all of the bandwidth `[slots, flows]`.
        edge_s: When slots begin, and when the last one ends `[slots + 1]`.
        rounding_s: Of these times `[slots + 1]`.
        ready_s: When flows come, or came; before the last edge `[flows]`.
        leave_s: When they are abandoned; after the first edge `[flows]`.
        crumb_bits: What rounding leaves of a flow that is complete `[flows]`.
        left_bits: Bits left, changed in place `[flows]`.
        coming: Flows ready after the first edge, in order.
        leaving: Flows that leave by the last edge.

    Returns:
        When flows ended, or NaN `[flows]`.
    """
    end_s, bits = np.full(left_bits.size, math.nan), left_bits.copy()
    bits[coming] = math.inf  # as always for those who are not there throughout a slot
    some = np.empty(left_bits.size, np.int64)  # the first few: those who are followed
    staying, come = left_bits.size - coming.size, 0
    for slot in range(edge_s.size - 1):
        start_s, stop_s, pace = edge_s[slot], edge_s[slot + 1], pace_bps[slot]
        few = 0
        while come < coming.size and ready_s[coming[come]] < stop_s:
            some[few] = coming[come]
            few, come = few + 1, come + 1
        for flow in leaving:
            if leave_s[flow] <= stop_s and bits[flow] < math.inf:
                some[few], left_bits[flow], bits[flow] = flow, bits[flow], math.inf
                few, staying = few + 1, staying - 1
        reach_s = _reach_s(bits, pace, staying, stop_s - start_s)
        if reach_s > 0.0:
            for flow in range(bits.size):
                if bits[flow] <= pace[flow] * reach_s and bits[flow] < math.inf:
                    some[few], left_bits[flow], bits[flow] = flow, bits[flow], math.inf
                    few, staying = few + 1, staying - 1
        virtual, sharers = (stop_s - start_s) / max(1, staying), staying
        if few > 0:
            virtual, unfinished = _share_slot(
                pace, start_s, stop_s, ready_s, leave_s, left_bits, end_s, some[:few], staying
            )
            sharers += unfinished
        rounding = rounding_s[slot + 1] / max(1, sharers)
        crumbs = 0
        for flow in range(bits.size):
            bits[flow] -= pace[flow] * virtual
            crumbs += bits[flow] <= max(pace[flow] * rounding, crumb_bits[flow])
        for flow in some[:few]:
            if math.isnan(end_s[flow]):
                crumb = left_bits[flow] <= max(pace[flow] * rounding, crumb_bits[flow])
                if crumb and leave_s[flow] >= stop_s:
                    end_s[flow], left_bits[flow] = stop_s, 0.0
                elif leave_s[flow] > stop_s:
                    bits[flow] = left_bits[flow]
                    staying += 1
        if crumbs > 0:
            for flow in range(bits.size):
                if bits[flow] <= max(pace[flow] * rounding, crumb_bits[flow]):
                    end_s[flow], left_bits[flow], bits[flow] = stop_s, 0.0, math.inf
                    staying -= 1
    for flow in range(bits.size):
        if bits[flow] < math.inf:
            left_bits[flow] = bits[flow]
    return end_s


@compiled
def _reach_s(bits: Floats, pace_bps: Floats, staying: int, length_s: float) -> float:
    """What virtual time cannot pass in a slot, unless it takes nobody to the end: then 0.

    It passes by at most length / (flows that stay): those it may reach are taken out of those that
    stay, until there are no more of them.
    """
    reached, reach_s = 0, 0.0
    while reached < staying:
        reach_s = length_s / (staying - reached) * _ROUNDING
        wider = 0
        for flow in range(bits.size):
            wider += bits[flow] <= pace_bps[flow] * reach_s
        if wider == reached:
            break
        reached = wider
    else:
        reach_s = _NEVER_S
    return reach_s if reached > 0 else 0.0


@compiled
def _share_slot(
    pace_bps: Floats,
    start_s: float,
    stop_s: float,
    ready_s: Floats,
    leave_s: Floats,
    left_bits: Floats,
    end_s: Floats,
    some: Ints,
    others: int,
) -> tuple[float, int]:
    """Follow some flows through a slot that they share with others, changing what they have left.

    Returns:
        Virtual time passed, and how many of them did not end.
    """
    few = some.size
    need, weight = np.zeros(few + 1), np.ones(few + 1)  # the last one is nobody
    event_s, who = np.empty(2 * few + 1), np.empty(2 * few + 1, np.int64)
    joins, there = np.zeros(2 * few + 1, np.bool_), np.empty(few, np.int64)
    events, at_first = 0, 0
    for place in range(few):
        flow = some[place]
        if left_bits[flow] > 0.0:
            pace = pace_bps[flow]
            need[place] = left_bits[flow] / pace if pace > 0.0 else _NEVER_S
        if ready_s[flow] <= start_s:
            there[at_first] = place
            at_first += 1
        else:
            event_s[events], who[events], joins[events] = ready_s[flow], place, True
            events += 1
    for place in range(few):
        flow = some[place]
        if leave_s[flow] < stop_s:
            event_s[events], who[events] = leave_s[flow], place
            events += 1
    _put_in_order(event_s[:events], joins, who)
    event_s[events], who[events] = stop_s, few
    ended_s, left, goal, present, _, virtual = walk_events(
        need,
        weight,
        there[:at_first],
        event_s[: events + 1],
        joins[: events + 1],
        who[: events + 1],
        start_s,
        float(others),
    )
    unfinished = 0
    for place in range(few):
        flow = some[place]
        if present[place]:
            left[place] = max(goal[place] - virtual, 0.0)
        if ended_s[place] < math.inf:
            end_s[flow], left_bits[flow] = ended_s[place], 0.0
        else:
            unfinished += 1
            if pace_bps[flow] > 0.0:
                left_bits[flow] = left[place] * pace_bps[flow]
    return virtual, unfinished


@compiled
def _put_in_order(event_s: Floats, joins: Bools, who: Ints) -> None:
    """Sort events, equals in their own order; quick for the few of a slot, most of them sorted."""
    for event in range(1, event_s.size):
        at_s, join, flow, place = event_s[event], joins[event], who[event], event
        while place > 0 and event_s[place - 1] > at_s:
            event_s[place], joins[place] = event_s[place - 1], joins[place - 1]
            who[place] = who[place - 1]
            place -= 1
        event_s[place], joins[place], who[place] = at_s, join, flow
