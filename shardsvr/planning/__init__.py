"""The planner: from a compiled filter and a collection's indexes to an execution."""

from shardsvr.planning.plan import Execution, Plan, plan_query

__all__ = ["Execution", "Plan", "plan_query"]
