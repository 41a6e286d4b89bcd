"""What the user writes: the scenario's schema, its units, and how a file becomes a Scenario."""

from wirelessfl.scenario.differences import differences
from wirelessfl.scenario.document import Scenario, Target, dump, fingerprint
from wirelessfl.scenario.loader import load, loads

__all__ = ["Scenario", "Target", "differences", "dump", "fingerprint", "load", "loads"]
