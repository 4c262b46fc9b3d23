"""The command line of the tools: backup and restore, export and import."""

from __future__ import annotations

import argparse
from typing import Any, Final

DEFAULT_URI: Final = "mongodb://127.0.0.1:27017/"


def add_tools(commands: Any) -> None:
    """Add the parsers of `psdb backup`, `restore`, `export` and `import`."""
    backup = commands.add_parser(
        "backup", allow_abbrev=False, help="copy a running or stopped server's data",
    )
    backup.add_argument("folder", metavar="DIR", help="where the backup goes; empty or not there")
    source = backup.add_mutually_exclusive_group()
    source.add_argument("--uri", default=DEFAULT_URI, help="a running server (%(default)s)")
    source.add_argument("--dbpath", metavar="DIR", help="the dbpath of a server that is stopped")

    restore = commands.add_parser(
        "restore", allow_abbrev=False, help="make a dbpath of a backup",
    )
    restore.add_argument("folder", metavar="DIR", help="a backup")
    restore.add_argument("--dbpath", metavar="DIR", required=True,
                         help="where the data go; empty or not there")
    _add_export(commands)
    _add_import(commands)


def _where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--uri", default=DEFAULT_URI, help="the server (%(default)s)")
    parser.add_argument("-d", "--db", metavar="NAME", help="the database; else the URI's")
    parser.add_argument("-c", "--collection", metavar="NAME", required=True)
    parser.add_argument("-f", "--fields", metavar="NAMES", help="fields, by comma")
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export", allow_abbrev=False, help="write a collection as mongoexport's JSON or CSV",
    )
    _where(export)
    export.add_argument("-q", "--query", metavar="JSON", help="which documents")
    export.add_argument("--queryFile", metavar="FILE", help="the same, from a file")
    export.add_argument("--sort", metavar="JSON", help="in which order")
    export.add_argument("--skip", type=int, default=0, metavar="N")
    export.add_argument("--limit", type=int, default=0, metavar="N")
    export.add_argument("--type", choices=("csv", "json"), default="json")
    export.add_argument("--jsonFormat", choices=("canonical", "relaxed"), default="relaxed")
    export.add_argument("--jsonArray", action="store_true", help="one array, not a line each")
    export.add_argument("--pretty", action="store_true", help="indented, for people")
    export.add_argument("--noHeaderLine", action="store_true", help="CSV without names")
    export.add_argument("-o", "--out", metavar="FILE", help="a file; else stdout")


def _add_import(commands: Any) -> None:
    into = commands.add_parser(
        "import", allow_abbrev=False, help="read mongoexport's JSON, or CSV, into a collection",
    )
    _where(into)
    into.add_argument("file", nargs="?", metavar="FILE", help="what to read; else stdin")
    into.add_argument("--file", dest="file_option", metavar="FILE", help="the same")
    into.add_argument("--type", choices=("csv", "json", "tsv"), default="json")
    into.add_argument("--jsonArray", action="store_true", help="the file is one array")
    into.add_argument("--headerline", action="store_true", help="the first line names the fields")
    into.add_argument("--ignoreBlanks", action="store_true", help="leave out empty values of CSV")
    into.add_argument("--drop", action="store_true", help="drop the collection first")
    into.add_argument("--mode", choices=("delete", "insert", "merge", "upsert"), default="insert")
    into.add_argument("--upsertFields", metavar="NAMES", default="_id",
                      help="by which documents are found again (%(default)s)")
    into.add_argument("--stopOnError", action="store_true")
    into.add_argument("--maintainInsertionOrder", action="store_true",
                      help="in the order of the file, to the first error")


def run(options: argparse.Namespace) -> int:
    """Run the tool that a command line asks for; return the exit code."""
    if options.command == "backup":
        from psdb.backup import backup

        return backup(options.folder, options.uri, options.dbpath)
    if options.command == "restore":
        from psdb.backup import restore

        return restore(options.folder, options.dbpath)
    if options.command == "export":
        from psdb.exporting import export

        return export(options)
    from psdb.importing import import_

    return import_(options)
