"""What asynchronous strategies cannot be combined with, and how a file is told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario import dump, loads

FILE = """\
name: here
strategy:
  kind: fedbuff
  {}
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "bandwidth: {kind: equal_finish}",
            r"here.yaml:4:\d+: strategy.bandwidth.kind: .*'equal_finish'.*equal_share, "
            r"work_conserving, max_min, tdma_fifo, proportional_fair",
        ),
        (
            "adapter: {method: hetlora}",
            r"here.yaml:4:\d+: strategy.adapter.method: 'hetlora' combines updates that started "
            r"from the same model.*fslora, ffa, fedsa",
        ),
        ("adapter: {method: flora}", "strategy.adapter.method: 'flora' combines"),
        ("server: {variance_reduction: fedvarp}", "strategy.server.variance_reduction: .*'none'"),
        ("participation: {concurrency: 0}", "strategy.participation.concurrency"),
        ("buffer: 0", "here.yaml:4:11: strategy.buffer"),
        ("staleness: {kind: linear}", "constant, polynomial, hinge"),
        ("mixing: {alpha: 0.5}", "strategy.mixing: .*unknown"),
    ],
)
def test_what_does_not_go_with_it_is_said_where_it_stands(line: str, message: str):
    with pytest.raises(InputError, match=message) as raised:
        loads(FILE.format(line), "here.yaml")
    assert str(raised.value).count("\n") == 0


def test_privacy_needs_rounds():
    for kind in ("fedasync", "fedbuff"):
        with pytest.raises(InputError, match=f"'{kind}' does not draw clients independently"):
            loads(
                f"name: here\nstrategy: {{kind: {kind}}}",
                "here.yaml",
                ["learning.privacy={epsilon: 4, delta: 1e-6}"],
            )


def test_an_alpha_beyond_one_is_no_mixing():
    with pytest.raises(InputError, match=r"strategy\.mixing\.alpha"):
        loads("name: a\nstrategy: {kind: fedasync, mixing: {alpha: 1.5}}", "a.yaml")


@pytest.mark.parametrize("kind", ["fedasync", "fedbuff"])
def test_a_resolved_scenario_loads_again(kind: str):
    scenario = loads(f"name: a\nstrategy: {{kind: {kind}, staleness: {{kind: hinge}}}}", "a.yaml")
    assert loads(dump(scenario)) == scenario


def test_the_page_shows_a_scenario_that_loads():
    page = (Path(__file__).parents[2] / "docs" / "asynchronous.md").read_text(encoding="utf-8")
    block = page.partition("```yaml\n")[2].partition("```")[0]
    assert loads("name: a\n" + block, "a.yaml").strategy.kind == "fedbuff"
    other = block.replace("fedbuff ", "fedasync").replace("# mixing", "mixing")
    other = "".join(
        line
        for line in other.splitlines(keepends=True)
        if not line.strip().startswith(("buffer", "server"))
    )
    assert loads("name: a\n" + other, "a.yaml").strategy.kind == "fedasync"
