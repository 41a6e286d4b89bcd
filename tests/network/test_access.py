"""Downloads and uploads through the cells' links and the wires behind them, by hand."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from tests.network.fake_channel import FakeCells, FakeChannel
from wirelessfl.network.access import Access
from wirelessfl.network.link import Link
from wirelessfl.network.sharing import EqualShareRule, WorkConservingRule
from wirelessfl.network.topology import Topology, from_graph
from wirelessfl.scenario.network import Downlink, NetworkConfig, Uplink

NEVER = math.inf


def a_chain(first=(0.0, math.inf), second=(0.0, math.inf)) -> Topology:
    """Server - a - b; both are cells, each edge has (latency, rate)."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_node("server", kind="server", xy_m=None)
    graph.add_node("a", kind="cell", xy_m=(0.0, 0.0))
    graph.add_node("b", kind="cell", xy_m=(1.0, 0.0))
    graph.add_edge("server", "a", latency_s=first[0], rate_bps=first[1])
    graph.add_edge("a", "b", latency_s=second[0], rate_bps=second[1])
    return from_graph(graph)


# Routes: a 15 bit/s and 1 s, b 10 bit/s and 3 s. Clients 0 and 1 are in a, 2 is in b; every link
# has 10 Hz, each of which carries 1 bit/s.
WIRED = a_chain(first=(1.0, 25.0), second=(2.0, 10.0))
CONFIG = NetworkConfig(uplink=Uplink(bandwidth_hz=10.0), downlink=Downlink(bandwidth_hz=10.0))
CELLS = FakeCells([0, 0, 1], [FakeChannel(np.ones(3)), FakeChannel(np.ones(3))])
ALL, BITS = np.arange(3), np.array([120.0, 120.0, 120.0])


def access(topology: Topology = WIRED, rule=None) -> tuple[simpy.Environment, Access]:
    env = simpy.Environment()
    return env, Access(env, CELLS, topology, CONFIG, rule or EqualShareRule())


def upload(carrier: Access, ready, leave=NEVER):
    ready_s = np.array(ready, float)
    leave_s = np.broadcast_to(np.asarray(leave, float), len(ready_s))
    return carrier.upload(ALL, BITS, ready_s, leave_s, ready_s)


def test_a_download_goes_through_the_wire_and_then_through_the_air():
    _, carrier = access()
    passage = carrier.download(ALL, BITS, np.full(3, NEVER))
    # a: 240 bits at 15 bit/s, 1 s of latency, 240 bits at 10 bit/s; b: 12 s, 3 s, 12 s
    assert passage.cell.tolist() == [0, 0, 1]
    assert passage.finish_s == pytest.approx([41.0, 41.0, 27.0], abs=1e-9)


def test_a_client_that_leaves_in_the_wire_is_not_on_the_air():
    env, carrier = access()
    passage = carrier.download(ALL, BITS, np.array([8.0, NEVER, 26.0]))
    # a: client 0 has had 60 bits by 8 s, client 1 its other 60 by 12 s; then 1 s, and 12 s alone.
    # b: client 2 has had 110 bits from the air when it leaves.
    assert passage.finish_s == pytest.approx([NEVER, 25.0, NEVER], abs=1e-9)
    env.run(passage.done)
    assert env.now == pytest.approx(26.0)
    assert passage.sent_bits == pytest.approx([0.0, 120.0, 110.0])


def test_a_multicast_is_one_copy_for_each_cell_in_wire_and_air():
    config = NetworkConfig(
        uplink=CONFIG.uplink, downlink=Downlink(bandwidth_hz=10.0, mode="multicast")
    )
    env = simpy.Environment()
    carrier = Access(env, CELLS, WIRED, config, EqualShareRule())
    passage = carrier.download(ALL, np.array([120.0, 60.0, 120.0]), np.full(3, NEVER))
    # a: 120 bits at 15 bit/s, 1 s, 120 bits at 10 bit/s, whoever asked for less.
    assert passage.finish_s == pytest.approx([21.0, 21.0, 27.0], abs=1e-9)
    env.run(passage.done)
    assert passage.sent_bits == pytest.approx([120.0, 120.0, 120.0])
    assert passage.air_bits == pytest.approx(240.0)


def test_an_upload_goes_through_the_air_and_then_through_the_wire():
    env, carrier = access()
    passage = upload(carrier, [42.0, 48.0, 30.0])
    # Air: client 0 alone for 6 s, both share until it ends at 60, client 1 alone until 66.
    assert passage.radio_end_s == pytest.approx([60.0, 66.0, 42.0], abs=1e-9)
    # Wire: client 0 alone for 6 s, its last 30 bits at 7.5 bit/s, client 1's last 90 at 15.
    assert passage.finish_s == pytest.approx([71.0, 77.0, 57.0], abs=1e-9)
    env.run(passage.done)
    assert env.now == pytest.approx(77.0, abs=1e-9)
    assert env.now >= passage.finish_s.max()
    assert passage.sent_bits.tolist() == BITS.tolist()


def test_each_cell_has_the_whole_bandwidth_for_itself():
    env, carrier = access(a_chain())
    passage = upload(carrier, [0.0, 0.0, 0.0])
    env.run(passage.done)
    assert passage.finish_s == pytest.approx([24.0, 24.0, 12.0], abs=1e-9)
    for cell, bits in enumerate([240.0, 120.0]):
        link = carrier.uplinks[cell]
        assert link.bits_sent == pytest.approx(bits)
        time_s, used_hz = link.utilisation()
        assert (used_hz <= 10.0).all()
        assert (used_hz[time_s < bits / 10.0][1:] == 10.0).all()


def test_each_cell_divides_its_band_by_the_rule():
    _, carrier = access(a_chain(), WorkConservingRule())
    # Those of one cell finish together; the other cell takes no part in it.
    assert upload(carrier, [0.0, 6.0, 0.0]).finish_s == pytest.approx([24.0, 24.0, 12.0])


def test_a_client_that_drops_out_never_enters_the_wire():
    env, carrier = access()
    passage = upload(carrier, [42.0, 48.0, 30.0], leave=[45.0, NEVER, NEVER])
    # Client 1 has air (12 s) and wire (8 s) for itself.
    assert passage.radio_end_s == pytest.approx([NEVER, 60.0, 42.0])
    assert passage.finish_s == pytest.approx([NEVER, 69.0, 57.0])
    env.run(passage.done)
    assert env.now == pytest.approx(69.0)
    assert passage.sent_bits == pytest.approx([30.0, 120.0, 120.0])


def test_what_is_in_the_wire_when_a_client_drops_out_arrives():
    _, carrier = access()
    assert upload(carrier, [42.0, 48.0, 30.0], leave=67.0).finish_s[:2] == pytest.approx([71, 77])


def test_a_passage_can_be_cut_short_in_air_and_wire():
    env, carrier = access()
    passage = upload(carrier, [42.0, 48.0, 30.0])
    env.run(63.0)
    passage.cancel()
    # Client 0 is in the wire, client 1 on the air, client 2 has arrived.
    assert passage.finish_s == pytest.approx([NEVER, NEVER, 57.0])
    assert passage.radio_end_s == pytest.approx([60.0, NEVER, 42.0])
    assert passage.sent_bits == pytest.approx([120.0, 90.0, 120.0])
    env.run(passage.done)
    assert env.now == 63.0
    assert upload(carrier, [63.0, 63.0, 63.0]).radio_end_s == pytest.approx([87.0, 87.0, 75.0])


def test_what_is_only_delayed_when_a_passage_is_cut_short_arrives_after_all():
    env, carrier = access()
    passage = upload(carrier, [42.0, 48.0, 30.0])
    env.run(55.0)  # client 2 left the wire at 54
    passage.cancel()
    assert passage.finish_s == pytest.approx([NEVER, NEVER, 57.0])


def test_a_client_stays_in_its_cell_until_its_transfer_ends():
    class Moving(FakeCells):
        def serving(self, clients, t_s):
            return (clients + int(t_s >= 5.0)) % 2

    env = simpy.Environment()
    channel = Moving([], [FakeChannel(np.ones(3)), FakeChannel(np.full(3, 4.0))])
    carrier = Access(env, channel, a_chain(), CONFIG, EqualShareRule())
    before = upload(carrier, [0.0, 0.0, 0.0])
    env.run(5.0)
    after = upload(carrier, [200.0, 200.0, 200.0])
    assert before.cell.tolist() == [0, 1, 0]
    assert before.finish_s == pytest.approx([24.0, 3.0, 24.0])
    assert after.cell.tolist() == [1, 0, 1]
    assert after.finish_s == pytest.approx([206.0, 212.0, 206.0])


def test_nobody_is_done_at_once():
    env, carrier = access()
    nobody = np.zeros(0)
    passage = carrier.upload(nobody.astype(int), nobody, nobody, nobody, nobody)
    env.run(passage.done)
    assert env.now == 0.0
    assert passage.finish_s.size == passage.sent_bits.size == passage.radio_end_s.size == 0


@pytest.mark.parametrize("rule", [EqualShareRule(), WorkConservingRule()])
def test_two_cells_carry_twice_what_one_carries(rule):
    ends_s = []
    for cell in (np.zeros(8, int), np.arange(8) % 2):
        channel = FakeCells(cell, [FakeChannel(np.ones(8))] * 2)
        carrier = Access(simpy.Environment(), channel, a_chain(), CONFIG, rule)
        zero, never = np.zeros(8), np.full(8, NEVER)
        passage = carrier.upload(np.arange(8), np.full(8, 100.0), zero, never, zero)
        ends_s.append(passage.finish_s.max())
    assert ends_s == pytest.approx([80.0, 40.0])


@given(
    st.lists(
        st.tuples(st.floats(1, 1e6), st.floats(0, 1e3), st.floats(0, 2e3)), min_size=1, max_size=12
    ),
    st.sampled_from([EqualShareRule(), WorkConservingRule()]),
    st.sampled_from([math.inf, 0.7]),
)
def test_one_cell_without_backhaul_is_exactly_a_link(flows, rule, slot_s):
    bits, ready_s, leave_s = np.array(flows).T
    clients = np.arange(len(flows))
    quality = np.linspace(1.0, 3.0, len(flows) * 5).reshape(len(flows), 5)
    channel = FakeChannel(quality if math.isfinite(slot_s) else quality[:, 0], slot_s)

    env = simpy.Environment()
    link = Link(env, channel, "uplink", 1e3, rule)
    transfer = link.submit(clients, bits, ready_s, leave_s)
    graph: nx.Graph[str] = nx.Graph()
    graph.add_node("server", kind="server", xy_m=None)
    graph.add_node("cell", kind="cell", xy_m=(0.0, 0.0))
    graph.add_edge("server", "cell", latency_s=0.0, rate_bps=math.inf)
    config = NetworkConfig(uplink=Uplink(bandwidth_hz=1e3))
    one = FakeCells(np.zeros(len(flows), int), [channel])
    passage = Access(env, one, from_graph(graph), config, rule).upload(
        clients, bits, ready_s, leave_s, ready_s
    )
    assert (passage.finish_s == transfer.finish_s).all()
    env.run(passage.done & transfer.done)
    assert (passage.finish_s == transfer.finish_s).all()
    assert (passage.sent_bits == transfer.sent_bits).all()


def test_a_hundred_thousand_clients_in_a_thousand_cells_are_no_loop_over_clients():
    n, cells = 100_000, 1000
    graph: nx.Graph[str] = nx.Graph()
    graph.add_node("server", kind="server", xy_m=None)
    for cell in range(cells):
        graph.add_node(f"{cell}", kind="cell", xy_m=(float(cell), 0.0))
        graph.add_edge("server", f"{cell}", latency_s=1.0, rate_bps=10.0)
    env = simpy.Environment()
    channel = FakeCells(np.arange(n) % cells, [FakeChannel(np.ones(n))] * cells)
    carrier = Access(env, channel, from_graph(graph), CONFIG, WorkConservingRule())
    passage = carrier.download(np.arange(n), np.full(n, 10.0), np.full(n, NEVER))
    # 100 clients a cell: 100 s in the wire, 1 s, 100 s on the air
    assert passage.finish_s == pytest.approx(np.full(n, 201.0))
