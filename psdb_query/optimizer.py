"""Optimisation of pipelines (filled in beside the stages)."""

from __future__ import annotations

from psdb_query.stages.model import Stage, StageContext


def optimize(stages: list[Stage], context: StageContext) -> list[Stage]:
    """Return stages that give the same documents in the same order, faster."""
    return stages
