"""What the reader of finished runs must know to trust them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Summary = Mapping[str, Any]


def warnings_of(summaries: Sequence[Summary]) -> list[str]:
    """The warnings of runs, from their `Trace.summary`; the same words only once."""
    found = [*(warning for summary in summaries for warning in _of_one(summary))]
    return list(dict.fromkeys([*found, *_short(summaries)]))


def _of_one(summary: Summary) -> Iterator[str]:
    memory = summary.get("memory", {"excluded": 0, "capped": 0})
    if memory["excluded"]:
        yield f"{memory['excluded']} clients are excluded: {memory['reason']}"
    if memory["capped"]:
        yield (
            f"{memory['capped']} clients train fewer ranks than the adapter has: more do not fit "
            "their memory"
        )
    if halvings := summary.get("host", {}).get("memory_halvings"):
        yield (
            f"this machine ran out of memory and trained {halvings} cohorts in halves; results may "
            "differ in their last bits from those of a machine that does not (a smaller "
            "learning.cohort_width makes them alike)"
        )
    if summary.get("diverged"):
        yield f"a run stopped early: {summary['diverged']}"
    if summary.get("nobody_left"):
        yield "a run ended early, as no client would ever have been available again"


def _short(summaries: Sequence[Summary]) -> Iterator[str]:
    """Of all runs together: what `fidelity: ergodic` is not made for."""
    counts = [summary["ergodic"] for summary in summaries if "ergodic" in summary]
    transfers, short = (sum(count[of] for count in counts) for of in ("transfers", "short"))
    if short:
        yield (
            f"{short:,} of {transfers:,} transfers ({short / transfers:.2g} of them) are shorter "
            "than the 100 coherence times that fidelity: ergodic is made for, and their lengths "
            "are rough; fidelity: exact follows every coherence slot"
        )
