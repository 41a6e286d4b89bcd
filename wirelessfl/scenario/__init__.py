"""What the user writes: the scenario's schema, its units, and how a file becomes a Scenario."""

from wirelessfl.scenario.document import Scenario, Target, dump, fingerprint
from wirelessfl.scenario.loader import load, loads

__all__ = ["Scenario", "Target", "dump", "fingerprint", "load", "loads"]
