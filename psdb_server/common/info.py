"""What a server tells about itself: build, host, status, logs, the list of its commands."""

from __future__ import annotations

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from psdb_base import limits
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_base.version import PSDB_VERSION
from psdb_server import process_info
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field


async def ping(_request: Request) -> Reply:
    """Answer."""
    return {}


async def build_info(_request: Request) -> Reply:
    """Tell the MongoDB version PSDB presents and its own."""
    return {
        "version": limits.MONGODB_VERSION,
        "gitVersion": "psdb",
        "modules": [],
        "allocator": "python",
        "javascriptEngine": "quickjs",
        "sysInfo": "deprecated",
        "versionArray": list(limits.MONGODB_VERSION_ARRAY),
        "openssl": {"running": "disabled", "compiled": "disabled"},
        "buildEnvironment": process_info.build_environment(),
        "bits": 64,
        "debug": False,
        "maxBsonObjectSize": limits.DOCUMENT_BYTES_MAX,
        "storageEngines": ["psdb"],
        "psdb": {"version": PSDB_VERSION},
    }


async def host_info(request: Request) -> Reply:
    """Describe the machine."""
    now = DatetimeMS(request.node.world.clock.now_ms())
    return process_info.host_info(now, request.node.host)


async def get_cmd_line_opts(request: Request) -> Reply:
    """Return the command line, as given and as parsed."""
    options = dict(request.node.options)
    argv = options.pop("argv", [])
    return {"argv": list(argv), "parsed": options}


async def get_log(request: Request) -> Reply:
    """Return recent log lines (`global`) or the warnings of the start."""
    if request.target == "*":
        return {"names": ["global", "startupWarnings"]}
    if type(request.target) is not str:
        raise MongoError(Code.TYPE_MISMATCH, "Argument to getLog must be of type String")
    if request.target == "global":
        lines = request.node.world.log.recent()
    elif request.target == "startupWarnings":
        lines = request.node.world.log.warnings()
    else:
        raise MongoError(Code.OPERATION_FAILED, f"No log named '{request.target}'")
    return {"totalLinesWritten": len(lines), "log": lines}


async def whats_my_uri(request: Request) -> Reply:
    """Tell the client its own address."""
    return {"you": request.connection.peer_name}


async def connection_status(request: Request) -> Reply:
    """Tell who is authenticated: nobody, as there is no access control yet."""
    info: Document = {"authenticatedUsers": [], "authenticatedUserRoles": []}
    if request.args.get("showPrivileges"):
        info["authenticatedUserPrivileges"] = []
    return {"authInfo": info}


async def list_commands(request: Request) -> Reply:
    """List the commands this role answers."""
    commands: Document = {}
    tests = request.node.parameters["enableTestCommands"]
    for name, row in request.node.table.items():
        if row.run is not None and (tests or not row.test_only):
            commands[name] = {
                "help": row.help,
                "requiresAuth": name not in ("hello", "isMaster", "ismaster"),
                "secondaryOk": row.secondary_ok,
                "adminOnly": row.admin_only,
                "apiVersions": ["1"] if row.api_v1 else [],
                "deprecatedApiVersions": [],
            }
    return {"commands": commands}


async def server_status(request: Request) -> Reply:
    """Report counters and state; `{section: 0}` leaves a section out."""
    node = request.node
    now_ms = node.world.clock.now_ms()
    uptime_ms = int((node.world.clock.monotonic() - node.started) * 1000)
    document: Document = {
        "host": node.host,
        "version": limits.MONGODB_VERSION,
        "process": node.role,
        "service": ["router" if node.role == "mongos" else "shard"],
        "pid": Int64(process_info.process_id()),
        "uptime": uptime_ms / 1000,
        "uptimeMillis": Int64(uptime_ms),
        "uptimeEstimate": Int64(uptime_ms // 1000),
        "localTime": DatetimeMS(now_ms),
    }
    for name, section in _sections(request).items():
        wanted = request.body.get(name, True)
        if wanted is not False and wanted != 0:
            document[name] = section
    return document


def _sections(request: Request) -> Document:
    node = request.node
    sections: Document = {
        "asserts": {"regular": 0, "warning": 0, "msg": 0, "user": 0, "tripwire": 0, "rollovers": 0},
        "connections": node.connection_counts(),
        "extra_info": {"note": "fields vary by platform", "page_faults": 0},
        "logicalSessionRecordCache": {"activeSessionsCount": len(node.sessions.last_use)},
        "mem": process_info.memory(),
        "metrics": {
            "cursor": {
                "open": {
                    "noTimeout": Int64(sum(c.no_timeout for c in node.cursors.open.values())),
                    "pinned": Int64(sum(c.in_use for c in node.cursors.open.values())),
                } | node.open_cursors(),
                "timedOut": Int64(node.cursors.timed_out),
                "totalOpened": Int64(node.cursors_opened()),
            },
        },
        "opcounters": node.operations.counters_document(),
    }
    sections |= node.status_sections()
    return {name: sections[name] for name in sorted(sections)}


async def features(_request: Request) -> Reply:
    """Answer the shell's legacy probe."""
    return {"js": {}, "oidMachine": 0}


COMMANDS = (
    Command("buildInfo", build_info, help="Tell version and build.", secondary_ok=True),
    Command(
        "connectionStatus", connection_status,
        (Field("showPrivileges", "safe bool"),), api_v1=False,
        help="Tell which users are authenticated on this connection.",
    ),
    Command("features", features, (Field("oidReset", "safe bool"),), help="Legacy probe."),
    Command(
        "getCmdLineOpts", get_cmd_line_opts, admin_only=True, help="Return the command line.",
    ),
    Command("getLog", get_log, admin_only=True, help="Return recent log lines."),
    Command("hostInfo", host_info, help="Describe the machine."),
    Command("listCommands", list_commands, help="List the commands."),
    Command("ping", ping, api_v1=True, help="Answer."),
    Command(
        "serverStatus", server_status, strict=False, help="Report counters and state.",
    ),
    Command("whatsmyuri", whats_my_uri, help="Tell the client its address."),
)
