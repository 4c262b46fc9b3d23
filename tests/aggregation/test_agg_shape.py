"""`$match`, `$project`, `$addFields`, `$unset`, `$replaceRoot`, `$redact`, `$unwind`."""

from __future__ import annotations

from typing import Any

import pytest
from agg_kit import Case, Fails, case, check, params
from bson.int64 import Int64

M = "match"
SCORES: list[dict[str, Any]] = [
    {"_id": 1, "author": "dave", "score": 80, "views": 100},
    {"_id": 2, "author": "dave", "score": 85, "views": 521},
    {"_id": 3, "author": "ahn", "score": 60, "views": 1000},
    {"_id": 4, "author": "li", "score": 55, "views": 5000},
    {"_id": 5, "author": "annT", "score": 60, "views": 50},
    {"_id": 6, "author": "li", "score": 94, "views": 999},
    {"_id": 7, "author": "ty", "score": 95, "views": 1000},
]
MATCH = [
    case(M, SCORES, [{"$match": {"author": "dave"}}], SCORES[:2]),
    case(M, SCORES, [{"$match": {}}], SCORES),
    case(
        M,
        SCORES,
        [
            {"$match": {"$or": [{"score": {"$gt": 70, "$lt": 90}}, {"views": {"$gte": 1000}}]}},
            {"$group": {"_id": None, "count": {"$sum": 1}}},
        ],
        [{"_id": None, "count": 5}],
    ),
    case(
        M,
        SCORES,
        [{"$match": {"$expr": {"$gt": ["$views", {"$multiply": ["$score", 15]}]}}}],
        [SCORES[2], SCORES[3]],
    ),
    case(
        M,
        SCORES,
        [{"$match": {"author": {"$in": ["ty", "ahn"]}}}, {"$match": {"score": 60}}],
        [SCORES[2]],
    ),
    case(M, SCORES, [{"$match": {"_id": {"$not": {"$gte": 2}}}}], SCORES[:1]),
    case(M, SCORES, [{"$match": {"author": "$$x"}}], [], let={"x": "dave"}),
    case(
        M,
        SCORES,
        [{"$match": {"$expr": {"$eq": ["$author", "$$x"]}}}],
        SCORES[:2],
        let={"x": "dave"},
    ),
    case(M, [], [{"$match": {"a": 1}}], []),
    case(M, [{"a": [1, 2]}, {"a": [3]}], [{"$match": {"a": 2}}], [{"a": [1, 2]}]),
    case(M, SCORES, [{"$match": 1}], Fails(15959, "must be an expression in an object")),
    case(M, SCORES, [{"$match": {"$where": "1"}}], Fails(2)),
    case(M, SCORES, [{"$match": {"a": {"$near": [1, 1]}}}], Fails(5626500)),
    case(M, SCORES, [{"$limit": 1}, {"$match": {"$text": {"$search": "x"}}}], Fails(17313)),
    case(M, SCORES, [{"$match": {"$foo": 1}}], Fails(2, "unknown top level operator: $foo")),
    # Moved forward, and yet the same.
    case(
        M, SCORES, [{"$sort": {"views": 1}}, {"$match": {"author": "li"}}], [SCORES[5], SCORES[3]]
    ),
    case(
        M,
        SCORES,
        [{"$project": {"who": "$author"}}, {"$match": {"who": "li"}}],
        [{"_id": 4, "who": "li"}, {"_id": 6, "who": "li"}],
    ),
    case(
        M,
        SCORES,
        [{"$project": {"author": 1}}, {"$match": {"author": "li", "score": None}}],
        [{"_id": 4, "author": "li"}, {"_id": 6, "author": "li"}],
    ),
    case(
        M,
        SCORES,
        [{"$addFields": {"score": 1}}, {"$match": {"score": 1, "_id": 3}}],
        [{"_id": 3, "author": "ahn", "score": 1, "views": 1000}],
    ),
    case(
        M,
        SCORES,
        [{"$addFields": {"who": "$author"}}, {"$match": {"who": "ty"}}],
        [{**SCORES[6], "who": "ty"}],
    ),
    case(
        M,
        SCORES,
        [{"$unset": "score"}, {"$match": {"score": {"$exists": False}, "_id": 1}}],
        [{"_id": 1, "author": "dave", "views": 100}],
    ),
    case(
        M,
        SCORES,
        [{"$group": {"_id": "$author", "n": {"$sum": 1}}}, {"$match": {"_id": "li"}}],
        [{"_id": "li", "n": 2}],
    ),
    case(
        M,
        SCORES,
        [
            {"$group": {"_id": {"a": "$author"}, "n": {"$sum": 1}}},
            {"$match": {"_id.a": "li", "n": 2}},
        ],
        [{"_id": {"a": "li"}, "n": 2}],
    ),
    case(
        M,
        [{"a": 1}, {"b": 1}, {"a": None}],
        [{"$group": {"_id": "$a", "n": {"$sum": 1}}}, {"$match": {"_id": {"$exists": True}}}],
        [{"_id": 1, "n": 1}, {"_id": None, "n": 2}],
    ),
    case(
        M,
        [{"a": 1}, {"b": 1}, {"a": None}],
        [{"$group": {"_id": "$a", "n": {"$sum": 1}}}, {"$match": {"_id": None}}],
        [{"_id": None, "n": 2}],
    ),
    case(
        M,
        [{"a": [1, 2], "b": 1}, {"a": [3], "b": 2}],
        [{"$unwind": "$a"}, {"$match": {"b": 1, "a": {"$gt": 1}}}],
        [{"a": 2, "b": 1}],
    ),
    case(
        M,
        [{"x": 5}, {"x": [{"c": 1}]}],
        [{"$addFields": {"x.b": 1}}, {"$match": {"x.c": None}}],
        [{"x": {"b": 1}}],
    ),
]

P = "project"
BOOK = {
    "_id": 1,
    "title": "abc123",
    "isbn": "0001122223334",
    "author": {"last": "zzz", "first": "aaa"},
    "copies": 5,
}
PROJECT = [
    case(
        P,
        [BOOK],
        [{"$project": {"title": 1, "author": 1}}],
        [{"_id": 1, "title": "abc123", "author": {"last": "zzz", "first": "aaa"}}],
    ),
    case(P, [BOOK], [{"$project": {"_id": 0, "title": 1}}], [{"title": "abc123"}]),
    case(
        P, [BOOK], [{"$project": {"copies": 0}}], [{k: v for k, v in BOOK.items() if k != "copies"}]
    ),
    case(
        P,
        [BOOK],
        [{"$project": {"author.first": 0, "isbn": 0}}],
        [{"_id": 1, "title": "abc123", "author": {"last": "zzz"}, "copies": 5}],
    ),
    case(P, [BOOK], [{"$project": {"author.last": True}}], [{"_id": 1, "author": {"last": "zzz"}}]),
    case(
        P, [BOOK], [{"$project": {"author": {"last": 1}}}], [{"_id": 1, "author": {"last": "zzz"}}]
    ),
    case(
        P,
        [BOOK],
        [
            {
                "$project": {
                    "title": 1,
                    "isbn": {
                        "prefix": {"$substr": ["$isbn", 0, 3]},
                        "group": {"$substr": ["$isbn", 3, 2]},
                    },
                    "lastName": "$author.last",
                    "copiesSold": "$copies",
                }
            }
        ],
        [
            {
                "_id": 1,
                "title": "abc123",
                "isbn": {"prefix": "000", "group": "11"},
                "lastName": "zzz",
                "copiesSold": 5,
            }
        ],
    ),
    case(
        P,
        [{"_id": 1, "x": 1, "y": 1}],
        [{"$project": {"myArray": ["$x", "$y", "$z"]}}],
        [{"_id": 1, "myArray": [1, 1, None]}],
    ),
    case(P, [{"_id": 1, "x": 1}], [{"$project": {"y": "$nothing"}}], [{"_id": 1}]),
    case(P, [{"_id": 1, "x": 1}], [{"$project": {"x": {"$literal": 1}}}], [{"_id": 1, "x": 1}]),
    case(
        P,
        [{"_id": 1, "x": 1, "y": 2}],
        [{"$project": {"x": {"$cond": [{"$eq": ["$x", 1]}, "$$REMOVE", "$x"]}, "y": 1}}],
        [{"_id": 1, "y": 2}],
    ),
    case(
        P,
        [{"_id": 1, "a": [{"b": 1, "c": 2}, 3, {"b": 4}]}],
        [{"$project": {"a.b": 1}}],
        [{"_id": 1, "a": [{"b": 1}, {"b": 4}]}],
    ),
    case(
        P,
        [{"_id": 1, "b": 2, "a": 1}],
        [{"$project": {"a": 1, "b": 1}}],
        [{"_id": 1, "b": 2, "a": 1}],
    ),
    case(
        P,
        [{"_id": 1, "a": 1}],
        [{"$project": {"n": {"$add": ["$a", "$$x"]}}}],
        [{"_id": 1, "n": 4}],
        let={"x": 3},
    ),
    case(P, [{"_id": 1, "a": 1}], [{"$project": {}}], Fails(51272, "at least one field")),
    case(P, [{"_id": 1, "a": 1}], [{"$project": 5}], Fails(15969, "must be an object")),
    case(P, [{"_id": 1, "a": 1}], [{"$project": {"a": 1, "b": 0}}], Fails(31254)),
    case(P, [{"_id": 1, "a": 1}], [{"$project": {"a": 0, "b": 1}}], Fails(31253)),
    case(P, [{"_id": 1, "a": 1}], [{"$project": {"a": 1, "a.b": 1}}], Fails(31249)),
    case(P, [{"_id": 1}], [{"$project": {"a": "$"}}], Fails(16872)),
    case(P, [{"_id": 1}], [{"$project": {"a": {"$nope": 1}}}], Fails(31325)),
    case(
        P,
        [{"_id": 1, "a": {"b": 1, "c": 2}}],
        [{"$project": {"a.b": 1, "a.d": "$a.c"}}],
        [{"_id": 1, "a": {"b": 1, "d": 2}}],
    ),
]

A = "addFields"
ADD = [
    case(
        A,
        [{"_id": 1, "student": "Maya", "homework": [10, 5, 10], "quiz": [10, 8], "extraCredit": 0}],
        [
            {
                "$addFields": {
                    "totalHomework": {"$sum": "$homework"},
                    "totalQuiz": {"$sum": "$quiz"},
                }
            },
            {
                "$addFields": {
                    "totalScore": {"$add": ["$totalHomework", "$totalQuiz", "$extraCredit"]}
                }
            },
        ],
        [
            {
                "_id": 1,
                "student": "Maya",
                "homework": [10, 5, 10],
                "quiz": [10, 8],
                "extraCredit": 0,
                "totalHomework": 25,
                "totalQuiz": 18,
                "totalScore": 43,
            }
        ],
    ),
    case(
        A,
        [{"_id": 1, "type": "car", "specs": {"doors": 4, "wheels": 4}}],
        [{"$addFields": {"specs.fuel_type": "unleaded"}}],
        [{"_id": 1, "type": "car", "specs": {"doors": 4, "wheels": 4, "fuel_type": "unleaded"}}],
    ),
    case(
        A,
        [{"_id": 1, "dogs": 10, "cats": 15}],
        [{"$addFields": {"cats": 20}}],
        [{"_id": 1, "dogs": 10, "cats": 20}],
    ),
    case(
        A,
        [{"_id": 1, "item": "tangerine"}],
        [{"$set": {"_id": "$item", "item": "fruit"}}],
        [{"_id": "tangerine", "item": "fruit"}],
    ),
    case(
        A,
        [{"_id": 1, "h": [7, 7]}],
        [{"$addFields": {"h": {"$concatArrays": ["$h", [8]]}}}],
        [{"_id": 1, "h": [7, 7, 8]}],
    ),
    case(A, [{"_id": 1, "a": 1}], [{"$set": {"a": "$$REMOVE", "b": "$a"}}], [{"_id": 1, "b": 1}]),
    case(A, [{"_id": 1, "a": 1}], [{"$set": {"b": "$nothing"}}], [{"_id": 1, "a": 1}]),
    case(
        A,
        [{"_id": 1, "a": [1, {"b": 2}]}],
        [{"$set": {"a.c": 3}}],
        [{"_id": 1, "a": [{"c": 3}, {"b": 2, "c": 3}]}],
    ),
    case(A, [{"_id": 1}], [{"$set": {"a": 1}}, {"$set": {"b": 2}}], [{"_id": 1, "a": 1, "b": 2}]),
    case(
        A, [{"_id": 1}], [{"$set": {"a": 1}}, {"$set": {"b": "$a"}}], [{"_id": 1, "a": 1, "b": 1}]
    ),
    case(
        A,
        [{"_id": 1}],
        [{"$set": {"a.x": 1}}, {"$set": {"a": {"y": 2}}}],
        [{"_id": 1, "a": {"x": 1, "y": 2}}],
    ),
    case(A, [{"_id": 1}], [{"$set": {"b": {"$toString": "$_id"}}}], [{"_id": 1, "b": "1"}]),
    case(A, [{"_id": 1}], [{"$addFields": 1}], Fails(40272, "must be an object, got int")),
    case(A, [{"_id": 1}], [{"$set": {}}], Fails(40177)),
    case(A, [{"_id": 1}], [{"$set": {"a.b": 1, "a": 2}}], Fails(40176)),
]

U = "unset"
UNSET = [
    case(
        U,
        [{"_id": 1, "a": 1, "b": {"c": 2, "d": 3}}],
        [{"$unset": "a"}],
        [{"_id": 1, "b": {"c": 2, "d": 3}}],
    ),
    case(
        U,
        [{"_id": 1, "a": 1, "b": {"c": 2, "d": 3}}],
        [{"$unset": ["a", "b.c"]}],
        [{"_id": 1, "b": {"d": 3}}],
    ),
    case(
        U,
        [{"_id": 1, "c": [{"w": 1, "x": 2}, {"w": 3}]}],
        [{"$unset": "c.w"}],
        [{"_id": 1, "c": [{"x": 2}, {}]}],
    ),
    case(U, [{"_id": 1}], [{"$unset": "z"}], [{"_id": 1}]),
    case(U, [{"_id": 1}], [{"$unset": "_id"}], [{}]),
    case(U, [{"_id": 1}], [{"$unset": 1}], Fails(31002)),
    case(U, [{"_id": 1}], [{"$unset": []}], Fails(31119)),
    case(U, [{"_id": 1}], [{"$unset": ["a", 1]}], Fails(31120)),
]

R = "replaceRoot"
PETS = {"_id": 1, "name": "Arlene", "age": 34, "pets": {"dogs": 2, "cats": 1}}
REPLACE = [
    case(R, [PETS], [{"$replaceRoot": {"newRoot": "$pets"}}], [{"dogs": 2, "cats": 1}]),
    case(
        R,
        [PETS, {"_id": 2, "name": "Sam"}],
        [{"$replaceRoot": {"newRoot": {"$mergeObjects": [{"dogs": 0, "cats": 0}, "$pets"]}}}],
        [{"dogs": 2, "cats": 1}, {"dogs": 0, "cats": 0}],
    ),
    case(
        R, [PETS], [{"$replaceWith": {"full": {"$concat": ["$name", "!"]}}}], [{"full": "Arlene!"}]
    ),
    case(R, [PETS], [{"$replaceWith": "$$ROOT"}], [PETS]),
    case(R, [PETS], [{"$replaceWith": {"a": {"b": "$nothing"}}}], [{"a": {}}]),
    case(
        R,
        [{"_id": 1, "g": [{"t": 1, "s": 90}, {"t": 2, "s": 95}]}],
        [{"$unwind": "$g"}, {"$match": {"g.s": {"$gte": 95}}}, {"$replaceRoot": {"newRoot": "$g"}}],
        [{"t": 2, "s": 95}],
    ),
    case(
        R,
        [PETS],
        [{"$replaceRoot": {"newRoot": "$name"}}],
        Fails(40228, 'must evaluate to an object, but resulting value was: "Arlene"'),
    ),
    case(
        R, [PETS], [{"$replaceWith": "$none"}], Fails(40228, "Type of resulting value: 'missing'")
    ),
    case(R, [PETS], [{"$replaceRoot": "$pets"}], Fails(40229)),
    case(R, [PETS], [{"$replaceRoot": {}}], Fails(40414)),
    case(R, [PETS], [{"$replaceRoot": {"newRoot": "$pets", "x": 1}}], Fails(40415)),
]

W = "unwind"
SIZES = [
    {"_id": 1, "item": "ABC", "sizes": ["S", "M"]},
    {"_id": 2, "item": "EFG", "sizes": []},
    {"_id": 3, "item": "IJK", "sizes": "M"},
    {"_id": 4, "item": "LMN"},
    {"_id": 5, "item": "XYZ", "sizes": None},
]
UNWOUND = [
    {"_id": 1, "item": "ABC", "sizes": "S"},
    {"_id": 1, "item": "ABC", "sizes": "M"},
    {"_id": 3, "item": "IJK", "sizes": "M"},
]
UNWIND = [
    case(W, SIZES, [{"$unwind": "$sizes"}], UNWOUND),
    case(W, SIZES, [{"$unwind": {"path": "$sizes"}}], UNWOUND),
    case(
        W,
        SIZES,
        [{"$unwind": {"path": "$sizes", "includeArrayIndex": "at"}}],
        [
            {**UNWOUND[0], "at": Int64(0)},
            {**UNWOUND[1], "at": Int64(1)},
            {**UNWOUND[2], "at": None},
        ],
    ),
    case(
        W,
        SIZES,
        [{"$unwind": {"path": "$sizes", "preserveNullAndEmptyArrays": True}}],
        [*UNWOUND[:2], {"_id": 2, "item": "EFG"}, UNWOUND[2], SIZES[3], SIZES[4]],
    ),
    case(
        W,
        SIZES,
        [
            {
                "$unwind": {
                    "path": "$sizes",
                    "preserveNullAndEmptyArrays": True,
                    "includeArrayIndex": "i",
                }
            },
            {"$match": {"_id": {"$in": [2, 4, 5]}}},
        ],
        [
            {"_id": 2, "item": "EFG", "i": None},
            {"_id": 4, "item": "LMN", "i": None},
            {"_id": 5, "item": "XYZ", "sizes": None, "i": None},
        ],
    ),
    case(
        W,
        SIZES,
        [{"$unwind": {"path": "$sizes", "includeArrayIndex": "sizes"}}, {"$limit": 1}],
        [{"_id": 1, "item": "ABC", "sizes": Int64(0)}],
    ),
    case(
        W,
        [{"_id": 1, "a": {"b": [1, 2]}}],
        [{"$unwind": "$a.b"}],
        [{"_id": 1, "a": {"b": 1}}, {"_id": 1, "a": {"b": 2}}],
    ),
    case(W, [{"_id": 1, "a": [{"b": [1]}]}], [{"$unwind": "$a.b"}], []),
    case(
        W,
        [{"_id": 1, "a": {"b": []}}],
        [
            {
                "$unwind": {
                    "path": "$a.b",
                    "preserveNullAndEmptyArrays": True,
                    "includeArrayIndex": "x.y",
                }
            }
        ],
        [{"_id": 1, "a": {}, "x": {"y": None}}],
    ),
    case(
        W,
        [{"_id": 1, "a": [[1, 2], [3]]}],
        [{"$unwind": "$a"}, {"$unwind": "$a"}],
        [{"_id": 1, "a": 1}, {"_id": 1, "a": 2}, {"_id": 1, "a": 3}],
    ),
    case(
        W,
        [{"_id": 1, "a": [None, {}]}],
        [{"$unwind": "$a"}],
        [{"_id": 1, "a": None}, {"_id": 1, "a": {}}],
    ),
    case(
        W,
        SIZES,
        [
            {"$unwind": "$sizes"},
            {"$group": {"_id": "$sizes", "n": {"$sum": 1}}},
            {"$sort": {"_id": 1}},
        ],
        [{"_id": "M", "n": 2}, {"_id": "S", "n": 1}],
    ),
    case(
        W,
        [{"_id": 1, "a": [1, 2], "b": 7}],
        [{"$unwind": "$a"}, {"$group": {"_id": "$b", "s": {"$sum": "$a"}}}],
        [{"_id": 7, "s": 3}],
    ),
    case(W, SIZES, [{"$unwind": 1}], Fails(15981, "got int")),
    case(W, SIZES, [{"$unwind": "sizes"}], Fails(28818, "should be prefixed with a '$': sizes")),
    case(W, SIZES, [{"$unwind": {}}], Fails(28812)),
    case(W, SIZES, [{"$unwind": {"path": 1}}], Fails(28808)),
    case(W, SIZES, [{"$unwind": {"path": "$a", "preserveNullAndEmptyArrays": 1}}], Fails(28809)),
    case(W, SIZES, [{"$unwind": {"path": "$a", "includeArrayIndex": ""}}], Fails(28810)),
    case(W, SIZES, [{"$unwind": {"path": "$a", "includeArrayIndex": "$i"}}], Fails(28822)),
    case(W, SIZES, [{"$unwind": {"path": "$a", "x": 1}}], Fails(28811)),
]

D = "redact"
FORECAST = {
    "_id": 1,
    "title": "123 Department Report",
    "tags": ["G", "STLW"],
    "year": 2014,
    "subsections": [
        {"subtitle": "Section 1: Overview", "tags": ["SI", "G"], "content": "Section 1"},
        {"subtitle": "Section 2: Analysis", "tags": ["STLW"], "content": "Section 2"},
        {
            "subtitle": "Section 3: Budgeting",
            "tags": ["TK"],
            "content": {"text": "Section 3", "tags": ["HCS"]},
        },
    ],
}
ACCESS = {
    "$cond": {
        "if": {"$gt": [{"$size": {"$setIntersection": ["$tags", ["STLW", "G"]]}}, 0]},
        "then": "$$DESCEND",
        "else": "$$PRUNE",
    }
}
REDACT = [
    case(
        D,
        [FORECAST],
        [{"$match": {"year": 2014}}, {"$redact": ACCESS}],
        [{**FORECAST, "subsections": FORECAST["subsections"][:2]}],
    ),
    case(
        D,
        [
            {"_id": 1, "level": 1, "acct": {"level": 5, "n": 1}, "status": "A"},
            {"_id": 2, "level": 5},
        ],
        [{"$redact": {"$cond": [{"$eq": ["$level", 5]}, "$$PRUNE", "$$DESCEND"]}}],
        [{"_id": 1, "level": 1, "status": "A"}],
    ),
    case(D, [{"_id": 1}], [{"$redact": "$$KEEP"}], [{"_id": 1}]),
    case(D, [{"_id": 1}], [{"$redact": "$$PRUNE"}], []),
    case(
        D,
        [{"_id": 1, "a": [[{"x": 1}, {"x": 2}], 3]}],
        [{"$redact": {"$cond": [{"$eq": ["$x", 2]}, "$$PRUNE", "$$DESCEND"]}}],
        [{"_id": 1, "a": [[{"x": 1}], 3]}],
    ),
    case(
        D,
        [{"_id": 1, "k": 7, "a": {"k": 8}}],
        [{"$redact": {"$cond": [{"$eq": ["$$ROOT.k", "$k"]}, "$$DESCEND", "$$PRUNE"]}}],
        [{"_id": 1, "k": 7}],
    ),
    case(D, [{"_id": 1}], [{"$redact": "$_id"}], Fails(17053)),
    case(D, [{"_id": 1}], [{"$redact": {"$cond": [True, "keep it", 1]}}], Fails(17053)),
    case(D, [{"_id": 1}], [{"$project": {"a": "$$KEEP"}}], Fails(17276)),
]
ORDER = [
    # Found by a law: leaving out fields must not change the order of those that are kept.
    case(
        W,
        [{"_id": 1, "b": [1], "a": 2}],
        [{"$unwind": "$b"}, {"$project": {"a": 1, "b": 1}}],
        [{"_id": 1, "b": 1, "a": 2}],
    ),
    case(
        "lookup-order",
        [{"_id": 1, "b": 1, "a": 2}],
        [{"$lookup": {"from": "o", "pipeline": [], "as": "j"}}, {"$project": {"a": 1, "b": 1}}],
        [{"_id": 1, "b": 1, "a": 2}],
    ),
]
CASES: list[Case] = ORDER + MATCH + PROJECT + ADD + UNSET + REPLACE + UNWIND + REDACT


@pytest.mark.parametrize("one", params(CASES))
def test_case(one: Case) -> None:
    check(one)
