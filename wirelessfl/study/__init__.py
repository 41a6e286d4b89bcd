"""Many runs: comparisons of strategies over seeds, and their statistics."""

from wirelessfl.study.compare import Study, compare

__all__ = ["Study", "compare"]
