"""The picture of who holds what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wirelessfl.trace import Trace
from wirelessfl.trace.partition_plot import _label, _stacks, plot_partition


def holdings(clients: int, classes: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = [
        (client, name, int(rng.integers(1, 9)))
        for client in range(clients)
        for name in classes
        if rng.random() < 0.7 or name == classes[0]
    ]
    return pd.DataFrame(rows, columns=["client", "class", "samples"])


def test_classes_are_stacked_in_the_order_of_their_numbers():
    table = pd.DataFrame({"client": [0, 0, 1], "class": ["10", "2", "10"], "samples": [5, 3, 4]})
    names, counts = _stacks(table)
    assert names == ["2", "10"]
    np.testing.assert_array_equal(counts, [[3, 0], [5, 4]])


def test_of_many_classes_the_largest_are_named_and_no_sample_is_lost():
    table = holdings(7, [f"class {n:02d}" for n in range(30)])
    names, counts = _stacks(table)
    assert len(names) == 10
    assert names[-1] is None
    np.testing.assert_array_equal(counts.sum(0), table.groupby("client")["samples"].sum())
    by_class = table.groupby("class")["samples"].sum().sort_values(ascending=False)
    assert counts.sum(1)[:9].tolist() == by_class.iloc[:9].tolist()


@pytest.mark.parametrize("clients", [1, 5, 40, 200])
@pytest.mark.parametrize("names", [["0", "1", "2"], [f"_owner ${n}$" for n in range(25)]])
@pytest.mark.slow
def test_it_is_drawn_for_few_and_many_and_equal_data_give_equal_files(
    clients: int, names: list[str], tmp_path: Path
):
    for name in ("a", "b"):
        plot_partition(holdings(clients, names), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_names_are_text_and_not_too_long():
    assert _label("$x$") == r"\$x\$"
    assert _label("a" * 40) == "a" * 23 + "…"


def test_a_trace_keeps_its_holdings_and_one_without_leaves_no_old_picture(
    trace: Trace, tmp_path: Path
):
    trace.holdings = holdings(5, ["0", "1"])
    trace.write(tmp_path)
    back = Trace.read(tmp_path)
    pd.testing.assert_frame_equal(back.holdings, trace.holdings, check_dtype=False)
    assert (tmp_path / "partition.png").exists()
    trace.holdings = trace.holdings.iloc[:0]
    trace.write(tmp_path)
    assert not list(tmp_path.glob("partition*")) + list(tmp_path.glob("holdings*"))
    assert Trace.read(tmp_path).holdings.empty


def test_nothing_held_is_nothing_to_draw(tmp_path: Path):
    with pytest.raises(ValueError, match="nobody holds anything"):
        plot_partition(holdings(0, ["0"]), tmp_path / "a.png")
