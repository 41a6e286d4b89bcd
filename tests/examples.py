"""The scenarios in scenarios/, and how tests make them light."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))
TINY = "learning.model={kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}"
