"""Every accumulator MongoDB knows by name, and the module of this package that holds its row.

None marks a name of a MongoDB after 8.0. Each module has `ACCUMULATORS`, a sorted dict of name to
`compile(argument, context) -> Accumulator`.
"""

from typing import Final

ACCUMULATORS: Final[dict[str, str | None]] = {
    "$accumulator": "scripted",
    "$addToSet": "collected",
    "$avg": "sums",
    "$bottom": "ranked",
    "$bottomN": "ranked",
    "$concatArrays": "collected",
    "$count": "sums",
    "$first": "ends",
    "$firstN": "ends",
    "$last": "ends",
    "$lastN": "ends",
    "$max": "extremes",
    "$maxN": "extremes",
    "$median": "quantiles",
    "$mergeObjects": "collected",
    "$min": "extremes",
    "$minN": "extremes",
    "$percentile": "quantiles",
    "$push": "collected",
    "$setUnion": "collected",
    "$stdDevPop": "deviations",
    "$stdDevSamp": "deviations",
    "$sum": "sums",
    "$top": "ranked",
    "$topN": "ranked",
}
