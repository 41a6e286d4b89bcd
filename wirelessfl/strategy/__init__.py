"""What the server decides: who takes part, what they train, and how large a step it takes."""

from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.build import build_strategy
from wirelessfl.strategy.observation import Observation, Plan, RoundFeedback

__all__ = ["Observation", "Plan", "RoundFeedback", "Strategy", "build_strategy"]
