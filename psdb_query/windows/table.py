"""Every window function MongoDB knows by name, and the module of this package that has it.

None marks a name of a MongoDB after 8.0. Each module has `FUNCTIONS`, a sorted dict of name to
`compile(argument, WindowContext) -> WindowFunction`.
"""

from typing import Final

FUNCTIONS: Final[dict[str, str | None]] = {
    "$addToSet": "accumulated",
    "$avg": "accumulated",
    "$bottom": "accumulated",
    "$bottomN": "accumulated",
    "$concatArrays": "accumulated",
    "$count": "accumulated",
    "$covariancePop": "accumulated",
    "$covarianceSamp": "accumulated",
    "$denseRank": "ranks",
    "$derivative": "series",
    "$documentNumber": "ranks",
    "$expMovingAvg": "series",
    "$first": "accumulated",
    "$firstN": "accumulated",
    "$integral": "series",
    "$last": "accumulated",
    "$lastN": "accumulated",
    "$linearFill": "series",
    "$locf": "series",
    "$max": "accumulated",
    "$maxN": "accumulated",
    "$median": "accumulated",
    "$min": "accumulated",
    "$minMaxScaler": None,
    "$minN": "accumulated",
    "$percentile": "accumulated",
    "$push": "accumulated",
    "$rank": "ranks",
    "$setUnion": "accumulated",
    "$shift": "ranks",
    "$stdDevPop": "accumulated",
    "$stdDevSamp": "accumulated",
    "$sum": "accumulated",
    "$top": "accumulated",
    "$topN": "accumulated",
}
