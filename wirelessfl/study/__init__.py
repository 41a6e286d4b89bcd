"""Many runs: comparisons of strategies over seeds, sweeps, their statistics, and tuning."""

from wirelessfl.study.comparison import Study, compare
from wirelessfl.study.reading import read_study
from wirelessfl.study.sweeping import Sweep, sweep
from wirelessfl.study.tuning import Tuning, tune

__all__ = ["Study", "Sweep", "Tuning", "compare", "read_study", "sweep", "tune"]
