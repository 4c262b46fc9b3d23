"""`$text`: plans over a text index.

A term of the search is a range of the index. Where no score is asked for, a document is fetched
when the first of its terms is met; for scores all entries of all terms are read first, and added
up. What the terms do not tell (phrases, negations, case and marks) is tested on the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query import bounds
from psdb_query.bounds import FieldBounds
from psdb_query.bounds_index import IndexField, Predicates, index_bounds
from psdb_query.bounds_ranges import key_ranges
from psdb_query.filters import tree
from psdb_query.filters.filter import walk
from psdb_query.text.languages import find_language
from psdb_query.text.scoring import TextFields
from psdb_query.text.search import Search, parse_search
from psdb_store.index import Index
from psdb_store.index_text import TERM, fields_of_text
from shardsvr.planning import access, nodes, stages
from shardsvr.planning.access import Candidate
from shardsvr.planning.indexes import (
    PLANNER,
    access_of,
    is_whole,
    shape_of,
    usable_indexes,
)
from shardsvr.planning.nodes import Node
from shardsvr.planning.query import Query
from shardsvr.planning.stages import Selector, Stage
from shardsvr.planning.stages_text import TextOr


@dataclass(frozen=True)
class TextMatch(Node):
    """Documents that a text index finds; the stage is the child's."""

    child: Node
    index: Index
    prefix: Document
    search: Search
    stage = "TEXT_MATCH"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def describe(self) -> Document:
        """Show what is searched for."""
        search = self.search
        return {
            "indexPrefix": self.prefix,
            "indexName": self.index.name,
            "parsedTextQuery": {
                "terms": sorted(search.bounds),
                "negatedTerms": sorted(search.negated),
                "phrases": list(search.phrases),
                "negatedPhrases": list(search.negated_phrases),
            },
            "textIndexVersion": self.index.spec["textIndexVersion"],
        }

    def open(self, query: Query) -> Stage:
        """Make the child's stage."""
        return self.child.open(query)


@dataclass(frozen=True)
class FetchText(Node):
    """Records of a text index's entries, each once."""

    child: Node
    filter: tree.Node | None
    is_plain: bool
    stage = "FETCH"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def describe(self) -> Document:
        """Show what the index does not answer."""
        return nodes.filter_field(self.filter)

    def open(self, query: Query) -> Stage:
        """Make the stage."""
        selector = selector_of(query, is_plain=self.is_plain)
        return stages.Fetch(self.child.open(query), query.state, selector)


@dataclass(frozen=True)
class ScoredText(Node):
    """Records of a text index's entries, with their scores."""

    scans: tuple[nodes.IndexScan, ...]
    filter: tree.Node | None
    is_plain: bool
    stage = "TEXT_OR"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The scans."""
        return self.scans

    def describe(self) -> Document:
        """Show what the index does not answer."""
        return nodes.filter_field(self.filter)

    def open(self, query: Query) -> Stage:
        """Make the stage."""
        scans = [scan.open(query) for scan in self.scans]
        heads = [scan.ranges.ranges[0][0] for scan in self.scans]
        selector = selector_of(query, is_plain=self.is_plain)
        return TextOr(query.state, scans, heads, selector)


def selector_of(query: Query, *, is_plain: bool) -> Selector | None:
    """Return what fetched documents have to match; entries answer a plain search."""
    chosen = query.filter.answered_by_index() if is_plain else query.filter
    return None if chosen.is_trivial else Selector(chosen, query.env)


def candidate(query: Query, predicates: Predicates) -> Candidate:
    """Return the plan of a query with `$text`, and let its filter test documents.

    Raises:
        MongoError: 27 without a text index, 2 for a language that is not known and for a hint,
            291 if the index begins with other fields that are not fixed to a value, or `$text`
            is in an `$or` that has a branch without an index.

    """
    node = query.filter.text
    assert node is not None
    if query.hint:
        raise MongoError(Code.BAD_VALUE, "text and hint not allowed in same query")
    _refuse_negated(query.filter.tree)
    index = _text_index(query)
    if not is_whole(query, index, predicates):
        raise MongoError(
            Code.NO_QUERY_EXECUTION_PLANS,
            PLANNER + "the text index is partial, and the query does not keep to its filter",
        )
    fields = fields_of_text(index.spec)
    search = _search(node, fields)
    query.shown = query.filter.tree
    query.filter = query.filter.with_text(lambda document: fields.matches(document, search))
    if any(conjunct is node for conjunct in predicates.conjuncts):
        return Candidate(_text_node(query, index, search, predicates, node))
    return Candidate(_union(query, index, search, predicates))


def _refuse_negated(node: tree.Node) -> None:
    """Raise 2 for a `$text` within `$nor`."""
    if isinstance(node, tree.Nor) and any(isinstance(one, tree.Text) for one in walk(node)):
        raise MongoError(Code.BAD_VALUE, "text expression not allowed in nor")
    if isinstance(node, (tree.And, tree.Or)):
        for child in node.children:
            _refuse_negated(child)


def _text_index(query: Query) -> Index:
    for index in usable_indexes(query):
        if index.kind == "text":
            return index
    raise MongoError(Code.INDEX_NOT_FOUND, "text index required for $text query")


def _search(node: tree.Text, fields: TextFields) -> Search:
    version = fields.language.version
    language = (
        fields.language if node.language is None else find_language(node.language, version)
    )
    if language is None:
        raise MongoError(
            Code.BAD_VALUE,
            f'unsupported language: "{node.language}" for text index version {version}',
        )
    return parse_search(
        node.search, language, case_sensitive=node.case_sensitive, marked=node.diacritic_sensitive
    )


def _text_node(
    query: Query, index: Index, search: Search, predicates: Predicates, text: tree.Text
) -> Node:
    scans, prefix = _scans(index, search, predicates)
    rest = [node for node in predicates.conjuncts if node is not text]
    residual = access.joined(rest)
    child: Node
    if query.needs_meta:
        child = ScoredText(scans, residual, search.is_plain)
    elif not scans:
        child = nodes.Eof()
    else:
        found: Node = scans[0] if len(scans) == 1 else nodes.Or(scans)
        child = FetchText(found, residual, search.is_plain)
    return TextMatch(child, index, prefix, search)


def _scans(
    index: Index, search: Search, predicates: Predicates
) -> tuple[tuple[nodes.IndexScan, ...], Document]:
    """Return a scan for each term, and the values to which the fields before are fixed."""
    names = list(index.key_pattern)
    ahead = names[: names.index(TERM)]
    found = index_bounds(predicates, [IndexField(name) for name in ahead]).fields if ahead else ()
    if any(not part.is_points or len(part.intervals) != 1 for part in found):
        raise MongoError(
            Code.NO_QUERY_EXECUTION_PLANS,
            PLANNER + "failed to use text index to satisfy $text query (if text index is "
            "compound, are equality predicates given for all prefix fields?)",
        )
    prefix = {
        name: part.intervals[0].low_value for name, part in zip(ahead, found, strict=True)
    }
    columns = shape_of(index).columns
    scans = []
    for term in search.bounds:
        fields = [*found, FieldBounds((bounds.point(term),))]
        fields += [bounds.UNBOUNDED] * (len(names) - len(fields))
        # Without the fields behind the term a range begins where the scores do.
        count = len(found) + 1
        ranges = key_ranges(fields[:count], columns[:count])
        scans.append(nodes.IndexScan(index, tuple(fields), ranges, index.key_pattern))
    return tuple(scans), prefix


def _union(query: Query, index: Index, search: Search, predicates: Predicates) -> Node:
    """Return the plan of a `$text` that is one branch of an `$or`: each has to have an index."""
    for conjunct in predicates.conjuncts:
        if not isinstance(conjunct, tree.Or):
            continue
        rest = [node for node in predicates.conjuncts if node is not conjunct]
        branches: list[Any] = []
        for child in conjunct.children:
            whole = Predicates(tree.And((child, *rest)), query.env)
            branches.append(_branch(query, index, search, child, whole))
        if all(branch is not None for branch in branches):
            return _joined(branches, predicates)
    raise MongoError(
        Code.NO_QUERY_EXECUTION_PLANS, PLANNER + "Failed to produce a solution for TEXT under OR "
        "- other non-TEXT clauses under OR have to be indexed as well."
    )


def _branch(
    query: Query, index: Index, search: Search, child: tree.Node, whole: Predicates
) -> Node | None:
    own = Predicates(child, query.env)
    if any(isinstance(node, tree.Text) for node in own.conjuncts):
        scans, _prefix = _scans(index, search, whole)
        return nodes.Or(scans) if scans else nodes.Eof()
    found = [
        one
        for other in usable_indexes(query)
        if (one := access_of(query, other, own)) is not None and one.is_useful
    ]
    return min(found, key=access.tightness).scan() if found else None


def _joined(branches: list[Node], predicates: Predicates) -> Node:
    """Return the records of several index nodes, each once, tested as a whole."""
    residual = access.residual_of(predicates, frozenset())
    return FetchText(nodes.Or(tuple(branches)), residual, is_plain=False)
