"""One run: the clock, the server and the clients, from a scenario to a trace."""

from wirelessfl.simulation.engine import simulate
from wirelessfl.simulation.server import Progress

__all__ = ["Progress", "simulate"]
