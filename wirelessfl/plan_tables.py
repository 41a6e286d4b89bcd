"""A plan as people read it in the terminal."""

from __future__ import annotations

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from wirelessfl.console import console
from wirelessfl.simulation.planning import Outlook
from wirelessfl.trace.words import duration

TOP = 8


def print_outlook(outlook: Outlook) -> None:
    """Summary, kinds of device, and the clients that matter most for time and for noise."""
    low, middle, high = (duration(s) for s in outlook.quantiles_s)
    plan, terms = outlook.plan, outlook.terms
    ranks = plan.k[plan.q > 0]
    console.print(f"{outlook.scenario}, {outlook.strategy}: {outlook.assumption}", soft_wrap=True)
    console.print(
        f"participants  {plan.q.sum():.2f} of {len(plan.q)} expected a round, ranks "
        f"{ranks.min()} to {ranks.max()} (mean {ranks.mean():.1f})\n"
        f"round         {duration(outlook.mean_s)} expected; median {middle}, 5% below {low}, "
        f"5% above {high}\n"
        f"rounds        {terms.relative_rounds:.2f}x those of full participation at full rank: "
        f"1 + {terms.participation:.2f} who is missing + {terms.sketch:.2f} missing ranks' noise "
        f"+ {terms.drift:.2f} their drift\n"
        f"step          {plan.server_step:.3g} times the aggregated update\n"
        f"objective     {duration(outlook.relative_time_s)} = round x relative rounds",
        soft_wrap=True,
    )
    console.print(_kinds(outlook))
    console.print(_clients(outlook))


def _table(title: str, first: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table


def _kinds(outlook: Outlook) -> Table:
    table = _table("By kind of device", "kind")
    for name in ("clients", "data", "expected", "mean rank", "of the time", "of the noise"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind in np.unique(outlook.profile):
        own = outlook.profile == kind
        included = own & (outlook.plan.q > 0)
        rank = f"{outlook.plan.k[included].mean():.1f}" if included.any() else "–"
        table.add_row(
            str(kind),
            f"{own.sum()}",
            f"{outlook.weight[own].sum():.1%}",
            f"{outlook.plan.q[own].sum():.2f}",
            rank,
            f"{outlook.time_share[own].sum():.1%}",
            f"{outlook.noise_share[own].sum():.1%}",
        )
    return table


def _clients(outlook: Outlook) -> Table:
    table = _table("Clients that make rounds long, and those that matter most", "client")
    for name in ("kind", "data", "q", "rank", "adds if in", "of the time", "of the noise"):
        table.add_column(name, justify="left" if name == "kind" else "right", no_wrap=True)
    slow = np.argsort(-outlook.time_share, kind="stable")[:TOP]
    matter = np.argsort(-outlook.noise_share, kind="stable")[:TOP]
    for number in dict.fromkeys([*slow.tolist(), *matter.tolist()]):
        table.add_row(
            str(number),
            str(outlook.profile[number]),
            f"{outlook.weight[number]:.1%}",
            f"{outlook.plan.q[number]:.3f}",
            f"{outlook.plan.k[number]}",
            duration(float(outlook.price_s[number])),
            f"{outlook.time_share[number]:.1%}",
            f"{outlook.noise_share[number]:.1%}",
        )
    return table
