"""Many runs: comparisons of strategies over seeds, and their statistics."""

from wirelessfl.study.comparison import Study, compare

__all__ = ["Study", "compare"]
