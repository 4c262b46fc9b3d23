"""The planner: from a compiled filter and a collection's indexes to an execution.

`query` is what is asked; `indexes`, `access`, `forced` and `keys_only` make candidates out of
`nodes`; `trial` chooses; `execution` pulls the `stages` that the chosen nodes open; `explain`
shows both.
"""

from shardsvr.planning.execution import Execution
from shardsvr.planning.forced import split_natural
from shardsvr.planning.plan import Plan, plan_query, whole_count
from shardsvr.planning.plan_cache import put_aside
from shardsvr.planning.scripted import next_records
from shardsvr.planning.stages_combine import SortOverflowError

__all__ = [
    "Execution", "Plan", "SortOverflowError", "next_records", "plan_query", "put_aside",
    "split_natural", "whole_count",
]
