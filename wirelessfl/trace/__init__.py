"""What a run leaves behind: typed tables, their files, pictures and a timeline."""

from wirelessfl.trace.plots import plot_convergence, plot_round_breakdown
from wirelessfl.trace.recorder import Recorder
from wirelessfl.trace.store import Trace

__all__ = ["Recorder", "Trace", "plot_convergence", "plot_round_breakdown"]
