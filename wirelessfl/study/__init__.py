"""Many runs: comparisons of strategies over seeds, their statistics, and tuning."""

from wirelessfl.study.comparison import Study, compare
from wirelessfl.study.tuning import Tuning, tune

__all__ = ["Study", "Tuning", "compare", "tune"]
