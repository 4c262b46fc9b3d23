"""Write `docs/compatibility.md` and the README's table of speed.

    .venv/bin/python docs/generate.py            write both
    .venv/bin/python docs/generate.py --check    write nothing; exit 1 when the page would change

What the page says comes from the code's own tables and, where no table tells, from what a running
PSDB answers to `docs/probes.py`. `docs/catalogue.json` holds the names that MongoDB 8.0 has; a
name that is in a table and not in the catalogue, or the other way round, ends this program.
"""

# ruff: noqa: INP001 -- a folder of pages, no package

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "tests")]

PAGE: Final = ROOT / "docs/compatibility.md"
README: Final = ROOT / "README.md"
BENCH: Final = ROOT / "bench/results.json"
Answers = Mapping[str, Mapping[str, str | None]]

SECTIONS: Final = {
    "commands": "Commands",
    "query_operators": "Query operators",
    "projection": "Projections of find",
    "update_operators": "Update operators",
    "expressions": "Expressions",
    "stages": "Pipeline stages",
    "accumulators": "Accumulators of $group",
    "window_operators": "Window operators",
    "index_kinds": "Index kinds",
    "index_options": "Index options",
    "collection_options": "Collection options",
    "bson_types": "BSON types",
    "read_concerns": "Read concerns",
    "write_concerns": "Write concerns",
    "read_preferences": "Read preferences",
    "sessions_transactions": "Sessions and transactions",
    "change_streams": "Change streams",
    "sharding": "Sharding",
    "replication": "Replication",
    "auth": "Authentication and authorization",
    "ops": "Running and looking inside",
}

PARTLY: Final[dict[str, dict[str, str]]] = {
    "stages": {
        "$listSampledQueries": "always empty: there is no `configureQueryAnalyzer`",
        "$queryStats": "always empty, as with MongoDB's default `internalQueryStatsRateLimit` of 0",
    },
    "bson_types": {},
    "collection_options": {
        "indexOptionDefaults": "checked to be an object, then without effect",
        "storageEngine": "settings of MongoDB's engines are kept and shown, without effect",
    },
    "commands": {
        "setFeatureCompatibilityVersion": "8.0 is the one version there is",
        "setClusterParameter": "`defaultMaxTimeMS`, `changeStreamOptions`",
        "authenticate": "answers that there are no users",
        "collMod": "of an index: `hidden`, `expireAfterSeconds`, `prepareUnique`, `unique`",
        "createSearchIndexes": "answers as a server without Atlas Search does",
        "dropSearchIndex": "answers as a server without Atlas Search does",
        "getParameter": "the parameters PSDB has",
        "logout": "answers that nobody is logged in",
        "saslContinue": "answers that there are no users",
        "saslStart": "answers that there are no users",
        "setQuerySettings": "of `queryFramework` there is one, whatever is set",
        "setParameter": "the parameters PSDB has",
        "updateSearchIndex": "answers as a server without Atlas Search does",
    },
    "expressions": {
        "$$USER_ROLES": "always empty: there are no users",
        "$meta": "`sortKey` in `find` only; `indexKey` not of multikey indexes",
    },
    "index_options": {
        "commitQuorum": "checked; each member of a set builds the index when it applies its entry",
        "storageEngine": "checked to be an object, then without effect",
    },
    "ops": {
        "configuration file and command line": "what PSDB honours; the rest is refused by name",
        "free-form getParameter / setParameter": "the parameters PSDB has",
        "log verbosity per component": "for all components at once (`-v`)",
        "serverStatus sections (connections, opcounters, mem, network, metrics, repl, locks, "
        "wiredTiger)": "those that mean something here",
        "hot backup ($backupCursor)": "`psdb backup`",
        "mongoexport / mongoimport work": "`psdb export` and `psdb import` in their formats; those "
        "of MongoDB were not tried",
        "profiler levels 0-2 with slowms, sampleRate, filter": "on members; without `queryHash`, "
        "lock and CPU times",
        "shutdown, SIGTERM, quiesce mode": "`shutdown` and SIGTERM",
        "system.profile": "entries have an `_id`",
    },
    "read_preferences": {"hedged reads": "taken; one member is asked"},
    "replication": {
        "oplog (local.oplog.rs)": "the newest 32 MiB of the log; an entry with several effects "
        "shows as one `applyOps`",
        "reconfig (one member at a time)": "not `force`",
    },
    "sharding": {
        "updating a document's shard key value": (
            "as a retryable write, within its shard; one that would move the document is refused "
            "(238): it is a transaction over two shards"
        ),
    },
}
"""What is supported within limits, and the limits."""

BY_HAND: Final[dict[str, tuple[str, ...]]] = {
    "auth": (),
    "change_streams": (),
    "ops": (
        "top", "lockInfo", "connPoolStats", "logRotate", "validate", "dbHash", "compact",
        "reIndex", "fsync and fsyncUnlock", "feature compatibility version",
        "currentOp", "killOp", "dbStats / collStats", "$indexStats", "slow query log",
        "structured JSON log", "getLog global / startupWarnings", "explain queryPlanner",
        "explain executionStats", "explain allPlansExecution", "plan cache and its commands",
        "query settings",
        "journal / crash recovery",
        "TTL monitor",
        "GridFS",
    ),
    "replication": (
        "primary election", "initial sync", "majority commit point",
        "rollback of divergent writes", "priority", "votes", "hidden members", "tags",
        "step-down and freeze", "flow control", "hello with hosts, setName, primary",
        "electionId / setVersion", "lastWrite", "streaming replication",
    ),
    "sessions_transactions": (
        "session time-out and reaping", "retryable reads", "retryable findAndModify",
    ),
    "sharding": (
        "ranged shard key", "hashed shard key", "compound shard key", "compound hashed shard key",
        "shard key may be missing in a document", "unique index must hold the shard key",
        "unsharded collections on a primary shard",
        "targeted reads and writes", "scatter-gather with merge sort",
        "$group split into shard and merge parts", "$lookup on sharded foreign collections",
        "shard versioning and stale-config retry", "updateOne/deleteOne without the shard key",
        "chunks and splitting", "chunk migration", "balancer", "balancing window", "zones",
        "movePrimary", "refine the shard key", "add and drain a shard", "orphan clean-up",
        "jumbo chunks",
        "config.shards", "config.databases", "config.collections", "config.chunks", "config.tags",
        "config.mongos", "config.changelog", "config.settings", "config.version",
    ),
}
"""What is supported and stands in no table, since it is no name that a client sends."""

WHY: Final[dict[str, str]] = {
    "abortTransaction": "there are no transactions yet",
    "auth": "there are no users yet",
    "change_streams": "there are no change streams yet",
    "commitTransaction": "there are no transactions yet",
    "mongodump / mongorestore work": "not tried",
    "arbiters": "refused: they vote for data that they do not have",
    "chained replication": "every member replicates from the primary",
    "delayed members": "refused",
    "primary catch-up": "a new primary has every committed write",
    "replSetAbortPrimaryCatchUp": "refused: a new primary has nothing to catch up",
    "replSetMaintenance": "refused: hide the member instead",
    "replSetSyncFrom": "refused: every member replicates from the primary",
    "roles": "there are no users yet",
    "sessions_transactions": "there are no transactions yet",
    "change streams over several shards": "there are no change streams yet",
    "sharding": "collections cannot be moved or sharded anew yet",
    "transactions over several shards": "there are no transactions yet",
    "test only": "there are no fail points yet",
    "users": "there are no users yet",
}
"""Why a name, or those of a group or section, are not there; nothing said: not written yet."""

OF_MEMBERS: Final = (
    "cleanupOrphaned", "cloneCollectionAsCapped", "compact", "dbHash", "lockInfo", "reIndex",
    "replSetFreeze", "replSetGetConfig", "replSetGetStatus", "replSetInitiate", "replSetReconfig",
    "replSetResizeOplog", "replSetStepDown", "shardingState", "top",
)
"""Commands that clients send to members, not to a router; MongoDB's router has none either."""

ON_SETS: Final = {
    "w:<n>": "as many members as the replica set has",
    "w:<tag>": "the modes of the replica set's `getLastErrorModes`",
}
"""What the default cluster, whose shard is one member, refuses, and a replica set has."""

REMOVED: Final = {
    "getFreeMonitoringStatus": "removed in MongoDB 7.0",
    "getLastError": "removed in MongoDB 5.1",
    "getnonce": "removed in MongoDB 4.0",
}
UNLISTED: Final = {
    "commands": (
        "analyze", "coordinateCommitTransaction", "deleteIndexes", "features", "getShardVersion",
        "listSearchIndexes", "splitVector",
    ),
    "query_operators": ("$db", "$geoNear", "$id", "$ref", "$within"),
}
"""Names of the tables that MongoDB's manual does not list: old spellings, internal ones."""


@dataclass
class Entry:
    """A name: `state` is yes, partly, no or beyond (MongoDB 8.0's community server)."""

    name: str
    state: str
    note: str = ""


@dataclass
class Section:
    """A section of the page, its entries by group."""

    title: str
    groups: dict[str, list[Entry]] = field(default_factory=dict)

    def of(self, *states: str) -> list[tuple[str, Entry]]:
        """Return (group, entry) of the entries in some states."""
        return [
            (group, entry) for group, entries in self.groups.items() for entry in entries
            if entry.state in states
        ]


def tables() -> dict[str, dict[str, bool]]:
    """Return for each section that has a table: name to whether the code has it."""
    from psdb_query.accumulators.table import ACCUMULATORS
    from psdb_query.expressions.table import OPERATORS, SYSTEM_VARIABLES
    from psdb_query.filters.parse import FIELD, PATHLESS
    from psdb_query.stages.table import STAGES
    from psdb_query.updates.table import MODIFIERS
    from psdb_query.windows.table import FUNCTIONS

    def there(table: Mapping[str, Any]) -> dict[str, bool]:
        return {name: row is not None for name, row in table.items()}

    variables = {f"$${name}": has for name, has in SYSTEM_VARIABLES.items()}
    return {
        "accumulators": there(ACCUMULATORS),
        "commands": commands(),
        "expressions": there(OPERATORS) | variables,
        "query_operators": there(PATHLESS) | there(FIELD),
        "stages": {name: row.module is not None for name, row in STAGES.items()},
        "update_operators": there(MODIFIERS),
        "window_operators": there(FUNCTIONS),
    }


def commands() -> dict[str, bool]:
    """Return the commands a client of a router can send, and whether they are answered."""
    from psdb_server.command import ALIASES
    from router.routes import ROUTES
    from router.table import ROUTER_COMMANDS
    from shardsvr.commands.table import MEMBER_COMMANDS

    found = {
        name: row.run is not None for name, row in (MEMBER_COMMANDS | ROUTER_COMMANDS).items()
    }
    for name in ROUTES:
        row = MEMBER_COMMANDS.get(name)
        found[name] = row is not None and row.run is not None
    for name, row in MEMBER_COMMANDS.items():
        if row.run is not None and name not in ROUTES and name not in ROUTER_COMMANDS:
            found[name] = False
    found |= dict.fromkeys(OF_MEMBERS, True)
    return {
        name: has for name, has in found.items()
        if not name.startswith("_") and (name not in ALIASES or name in ALIASES.values())
    }


def build(answers: Answers) -> list[Section]:
    """Make all sections of the page from tables, answers and what is kept by hand."""
    catalogue = json.loads((ROOT / "docs/catalogue.json").read_text(encoding="utf-8"))
    known = tables()
    _check_names(catalogue, known)
    sections = []
    for key, title in SECTIONS.items():
        listed, table = catalogue[key], known.get(key)
        section = Section(title)
        for group, names in listed["groups"].items():
            section.groups[group] = [
                entry_of(key, group, name, table, answers.get(key, {})) for name in names
            ]
        section.groups["beyond"] = [
            Entry(name, "beyond", why or "") for name, why in listed["beyond"].items()
        ]
        if table is not None:
            inside = {name for names in listed["groups"].values() for name in names}
            section.groups["beyond"] += [
                Entry(name, "beyond", "newer than 8.0; supported") for name, has in table.items()
                if has and name not in inside and name not in listed["beyond"]
                and name not in UNLISTED.get(key, ()) and not name.startswith("$_internal")
            ]
        sections.append(section)
    return sections


def entry_of(
    section: str, group: str, name: str, table: Mapping[str, bool] | None,
    answers: Mapping[str, str | None],
) -> Entry:
    """Decide on one name."""
    if name in REMOVED:
        return Entry(name, "beyond", REMOVED[name])
    if name in ON_SETS:
        return Entry(name, "partly", ON_SETS[name])
    refusal = answers.get(name)
    if refusal is not None:
        return Entry(name, "no", f"answer: {refusal}")
    if not _has(section, name, table, answers):
        return Entry(name, "no", WHY.get(name, WHY.get(group, WHY.get(section, ""))))
    note = PARTLY.get(section, {}).get(name)
    return Entry(name, "yes") if note is None else Entry(name, "partly", note)


def _has(
    section: str, name: str, table: Mapping[str, bool] | None, answers: Mapping[str, str | None]
) -> bool:
    if table is not None and name in table:
        return table[name]
    if name in answers:
        return True
    if section not in BY_HAND:
        raise SystemExit(f"{section}: no table and no probe says whether {name} is supported")
    return name in BY_HAND[section] or name in PARTLY.get(section, ())


def _check_names(catalogue: Mapping[str, Any], known: Mapping[str, Mapping[str, bool]]) -> None:
    """End the program when a table has a name that nobody has listed, or a note is for none."""
    wrong = []
    for key, listed in catalogue.items():
        names = [name for names in listed["groups"].values() for name in names]
        allowed = {*names, *listed["beyond"], *UNLISTED.get(key, ())}
        wrong += [
            f"{key}: {name} is in the code and not in docs/catalogue.json"
            for name, has in known.get(key, {}).items()
            if name not in allowed and not name.startswith("$_internal")
            and not (has and key in ("accumulators", "window_operators"))
        ]
        noted = [*PARTLY.get(key, ()), *BY_HAND.get(key, ())]
        wrong += [
            f"{key}: a note on {name}, which docs/catalogue.json does not have"
            for name in noted if name not in allowed
        ]
    if wrong:
        raise SystemExit("\n".join(wrong))


# The page.

HEAD: Final = """# Compatibility

What MongoDB 8.0's community server has, and what of it PSDB has. This page is written by
`docs/generate.py` from the tables in the code and from what a running `psdb up` answers; a test
compares them. Do not edit it.

- **supported**: behaves as MongoDB documents it; differences are bugs.
- **partly**: within the limits named.
- **not yet**: refused with a clear error, mostly 238 (NotImplemented).

How much of the drivers' own test suites passes stands in
[compatibility-suites.md](compatibility-suites.md).

"""


def page(sections: Iterable[Section]) -> str:
    """Write the page."""
    sections = list(sections)
    lines = ["| | supported | partly | not yet |", "|---|---|---|---|"]
    for section in sections:
        counts = [len(section.of(state)) for state in ("yes", "partly", "no")]
        title = f"[{section.title}](#{_anchor(section.title)})"
        lines.append(f"| {title} | {' | '.join(map(str, counts))} |")
    text = HEAD + "\n".join(lines) + "\n"
    return text + "".join(_section_text(section) for section in sections)


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _section_text(section: Section) -> str:
    parts = [f"\n## {section.title}\n"]
    yes = _by_group(section.of("yes"))
    if yes:
        parts.append(_table("group", "supported", yes))
    partly = [(code(entry.name), entry.note) for _group, entry in section.of("partly")]
    if partly:
        parts.append(_table("partly", "limits", partly))
    silent = [(group, entry) for group, entry in section.of("no") if not _answered(entry)]
    for note in dict.fromkeys(entry.note for _group, entry in silent):
        rows = _by_group([(group, entry) for group, entry in silent if entry.note == note])
        parts.append(_table("group", f"not yet{': ' if note else ''}{note}", rows))
    answered = [
        (code(entry.name), entry.note.removeprefix("answer: "))
        for _group, entry in section.of("no") if _answered(entry)
    ]
    if answered:
        parts.append(_table("not yet", "what PSDB answers", answered))
    beyond = [f"{code(entry.name)} ({entry.note})" for _group, entry in section.of("beyond")]
    if beyond:
        parts.append(f"Not of MongoDB 8.0's community server: {', '.join(beyond)}.\n")
    return "\n".join(parts)


def _answered(entry: Entry) -> bool:
    return entry.note.startswith("answer: ")


def _by_group(found: list[tuple[str, Entry]]) -> list[tuple[str, str]]:
    groups: dict[str, list[str]] = {}
    for group, entry in found:
        groups.setdefault(group, []).append(code(entry.name))
    return [(group, ", ".join(names)) for group, names in groups.items()]


def code(name: str) -> str:
    """Return a name as code; `|` would end a table's cell."""
    return f"`{name}`".replace("|", "\\|")


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> str:
    body = "".join(f"| {first} | {second} |\n" for first, second in rows)
    return f"| {left} | {right} |\n|---|---|\n{body}"


# The README's table.

BEGIN: Final = "<!-- bench:begin"
END: Final = "<!-- bench:end -->"
OPERATIONS: Final = {
    "ping": "`ping`",
    "find_one": "`find_one` by `_id`",
    "insert_one": "`insert_one`, on disk when it returns",
    "insert_many": "`insert_many` of 1,000 documents",
}


def speed(results: Mapping[str, Any]) -> str:
    """Return the README's table from `bench/results.json`."""
    lines = ["| operation, through pymongo | null server | PSDB | ratio |", "|---|---|---|---|"]
    for name, title in OPERATIONS.items():
        row = results.get(name)
        if row is not None:
            lines.append(
                f"| {title} | {row['null_us']:,.0f} µs | {row['psdb_us']:,.0f} µs | "
                f"{row['ratio']:.1f} |"
            )
    scan = results.get("filtered_scan")
    if scan is not None:
        lines += ["", (
            f"A filtered scan looks at {scan['documents_per_second']:,.0f} documents a second."
        )]
    start = results.get("start")
    if start is not None:
        lines.append(
            f"From the start of the process to the first answered ping it takes "
            f"{start['seconds']:.2f} s and {start['resident_mb']:.0f} MiB."
        )
    return "\n".join(lines)


def with_speed(readme: str, results: Mapping[str, Any]) -> str:
    """Return the README with its table replaced."""
    head, begin, rest = readme.partition(BEGIN)
    note, _, rest = rest.partition("-->\n")
    _old, end, tail = rest.partition(END)
    assert begin, "README.md has no mark for the table of speed"
    assert end, "README.md has no mark for the end of the table of speed"
    return f"{head}{begin}{note}-->\n{speed(results)}\n{end}{tail}"


# The program.


def ask_own_server() -> Answers:
    """Start a PSDB, ask the probes, stop it."""
    import probes
    from pymongo import MongoClient
    from servers import Server

    with (
        tempfile.TemporaryDirectory() as folder,
        Server.up(Path(folder) / "data") as server,
        MongoClient[Any](server.uri) as client,
    ):
        return probes.ask(client.psdb_probes)


def main(arguments: list[str] | None = None, ask: Callable[[], Answers] = ask_own_server) -> int:
    """Write or compare; return the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/compatibility.md and README's table.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args(arguments)
    made = page(build(ask()))
    if options.check:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
        if not same:
            sys.stderr.write("docs/compatibility.md is old: run docs/generate.py\n")
        return 0 if same else 1
    PAGE.write_text(made, encoding="utf-8")
    if BENCH.exists():
        results = json.loads(BENCH.read_text(encoding="utf-8"))
        readme = README.read_text(encoding="utf-8")
        README.write_text(with_speed(readme, results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
