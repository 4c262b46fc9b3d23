"""Aggregation expressions: `core` compiles, `table` names the families, one module a family."""

from psdb_query.expressions.core import Expr, Operator, compile_expression

__all__ = ["Expr", "Operator", "compile_expression"]
