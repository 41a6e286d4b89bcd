"""The scenarios in scenarios/, and how tests make them light."""

from __future__ import annotations

from pathlib import Path

from wirelessfl.scenario import load
from wirelessfl.scenario.tasks import TextOptions

FOLDER = Path(__file__).parents[1] / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))
OWN_CODE = sorted(FOLDER.glob("own-code/*.yaml"))
"""Those that --allow-custom is needed for."""
TINY = "learning.model={kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}"
TINY_TEXT = (
    "learning.model={kind: tiny-lm, hidden: 16, layers: 1, heads: 2, vocabulary: 300, "
    "pretrain_steps: 2}"
)


def tiny(path: Path) -> tuple[str, ...]:
    """Overrides that make an example's model small and fresh, whatever it reads."""
    text = isinstance(load(path).learning.task, TextOptions)
    return (TINY_TEXT if text else TINY, "learning.lora.targets=auto")
