"""The program `psdb`: it parses the command line and runs a server on an event loop."""

from __future__ import annotations

import sys
from typing import Final

EXIT_NOT_CLEAN: Final = 100
EXIT_CANNOT_LISTEN: Final = 48


def main(argv: list[str] | None = None) -> int:
    """Run `psdb`; return the exit code (0, 2 options, 48 cannot listen, 100 failed)."""
    if sys.flags.optimize:
        sys.stderr.write("psdb relies on its assertions; do not run it with python -O\n")
        return 2
    if sys.platform == "win32":
        sys.stderr.write("psdb runs on Linux and macOS; Windows is not supported yet\n")
        return 2
    from psdb import options as command_line

    arguments = sys.argv[1:] if argv is None else argv
    options = command_line.parse(arguments)
    if options.command == "ping":
        from psdb.ping import ping

        return ping(options.addresses, options.timeout)
    if options.command == "status":
        from psdb.status import show

        return show(options.addresses, as_json=options.json, watch_seconds=options.watch)
    if options.command in ("backup", "export", "import", "restore"):
        from psdb.tool_options import run

        return run(options)
    if options.command == "initiate":
        from psdb.initiate import initiate

        return initiate(options.configdb, options.shards, options.router, options.timeout)
    if options.command == "up":
        shape = command_line.shape_of(options)
        if not shape.is_one_process:
            from psdb.supervisor import supervise

            return supervise(options, shape)
    from psdb.serve import serve

    return serve(options, command_line.as_document(options, arguments))


if __name__ == "__main__":
    sys.exit(main())
