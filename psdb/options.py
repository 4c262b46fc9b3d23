"""The command line: mongod's and mongos's flags, and PSDB's own.

A flag that MongoDB has and PSDB does not honour yet is refused with exit code 2 and its name,
never accepted silently. A configuration file (`--config`) holds the same options in MongoDB's
YAML names (`psdb.config_file`); flags of the command line win over it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final, NoReturn

from psdb_base.limits import PROFILING_MODES
from psdb_base.values import Document

if TYPE_CHECKING:
    from psdb.initiate import SetAddress
    from psdb.layout import Shape

EXIT_BAD_OPTIONS: Final = 2
DEFAULT_PORTS: Final = {"up": 27017, "router": 27017, "shardsvr": 27018, "configsvr": 27019}

NOT_HONOURED: Final = (
    "--auditDestination", "--auditFilter", "--auditFormat", "--auditPath", "--auth",
    "--clusterAuthMode", "--clusterIpSourceAllowlist", "--configsvrMode",
    "--cpu", "--directoryperdb", "--enableMajorityReadConcern", "--filePermissions",
    "--fork", "--install", "--ipv6", "--journal", "--journalCommitInterval", "--keyFile",
    "--logappend", "--logRotate", "--maxConns", "--nojournal", "--noauth",
    "--notablescan", "--nounixsocket", "--objcheck", "--pidfilepath", "--quiet",
    "--redactClientLogData", "--repair",
    "--sslMode", "--storageEngine", "--syslog", "--tlsAllowInvalidCertificates",
    "--tlsCAFile", "--tlsCertificateKeyFile", "--tlsMode", "--timeStampFormat",
    "--timeZoneInfo", "--transitionToAuth", "--unixSocketPrefix", "--upgrade",
)
STORAGE_FLAGS: Final = (
    "cacheSizeMB", "oplogMinRetentionHours", "oplogSize", "profile", "wiredTigerCacheSizeGB",
)
"""Settings of those that keep data, None where the default holds."""
_COUNTS: Final = {
    "configsvrs": "config servers",
    "replicas": "members of each shard, or of the replica set",
    "routers": "routers",
    "shards": "shards",
}


class _Parser(argparse.ArgumentParser):
    """Prints errors as mongod does: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(EXIT_BAD_OPTIONS, f"Error parsing command line: {message}\n")


class _NotHonoured(argparse.Action):
    """A flag that MongoDB has and PSDB has not yet."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
        option_string: str | None = None,
    ) -> None:
        del namespace, values
        parser.error(f"the option '{option_string}' is not supported by PSDB yet")


class _SetParameter(argparse.Action):
    """`--setParameter name=value`, any number of times."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
        option_string: str | None = None,
    ) -> None:
        del option_string
        name, equals, value = values.partition("=")
        if not equals or not name:
            parser.error(
                "Illegal option assignment: setParameter must be given as name=value, got "
                f"'{values}'"
            )
        chosen = dict(getattr(namespace, self.dest) or {})
        chosen[name] = value
        setattr(namespace, self.dest, chosen)


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"bad port '{text}'") from None
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"bad port '{text}'")
    return port


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"bad number '{text}'") from None
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
    return value


def _megabytes(text: str) -> int:
    value = _number(text, 1, 10_240_000)
    if not value.is_integer():
        raise argparse.ArgumentTypeError(f"bad number '{text}', expected whole megabytes")
    return int(value)


def _cache_gigabytes(text: str) -> float:
    return _number(text, 0.25, 10_000)


def _milliseconds(text: str) -> int:
    return int(_number(text, 0, 2**31 - 1))


def _share(text: str) -> float:
    return _number(text, 0, 1)


def _hours(text: str) -> float:
    return _number(text, 0, 1e9)


def _address(text: str) -> str:
    """Check `host:port` or `set/host:port,…`."""
    for part in text.rpartition("/")[2].split(","):
        host, _, port = part.rpartition(":")
        if not host or not port.isdigit():
            raise argparse.ArgumentTypeError(f"bad address '{text}', expected HOST:PORT")
    return text


def _set(text: str) -> SetAddress:
    """Check `set/host:port,…`."""
    from psdb.initiate import SetAddress

    try:
        return SetAddress.parse(_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _server_flags(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the flags that every server command takes."""
    parser.add_argument("--port", type=_port, default=DEFAULT_PORTS[command],
                        help="port to listen on (%(default)s; 0 takes a free one)")
    parser.add_argument("--bind_ip", default="127.0.0.1", metavar="ADDRESSES",
                        help="addresses to listen on, by comma (%(default)s)")
    parser.add_argument("--bind_ip_all", action="store_true", help="listen on all addresses")
    parser.add_argument("--logpath", metavar="FILE", help="write the log to a file")
    parser.add_argument("-v", "--verbose", action="count", default=0,
                        help="log debug lines as well")
    parser.add_argument("--setParameter", action=_SetParameter, dest="parameters",
                        metavar="NAME=VALUE", help="set a server parameter")
    parser.add_argument("-f", "--config", metavar="FILE",
                        help="options in mongod's YAML; flags win over them")
    parser.add_argument("--slowms", type=_milliseconds, metavar="MS",
                        help="log commands that take so long (100)")
    parser.add_argument("--slowOpSampleRate", type=_share, metavar="SHARE",
                        help="and this share of them, 0 to 1 (1)")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--noscripting", action="store_true",
                        help="run no JavaScript ($where, $function, $accumulator, mapReduce)")
    parser.add_argument("--networkMessageCompressors", default="snappy,zstd,zlib",
                        metavar="NAMES", help="compressors to offer, or 'disabled'")
    for flag in NOT_HONOURED:
        parser.add_argument(flag, action=_NotHonoured, nargs="?", help=argparse.SUPPRESS)


def _storage_flags(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the flags of the commands that keep data."""
    parser.add_argument("--dbpath", default=default, metavar="DIR",
                        help="where the data are kept (%(default)s)")
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument("--cacheSizeMB", type=_megabytes, metavar="MB",
                       help="memory for records that are saved; others are read back from disk "
                            "(half of the memory beyond 1 GB, at least 256)")
    cache.add_argument("--wiredTigerCacheSizeGB", type=_cache_gigabytes, metavar="GB",
                       help="the same in MongoDB's words")
    parser.add_argument("--oplogSize", type=_megabytes, metavar="MB",
                        help="the journal keeps the last so many megabytes (990)")
    parser.add_argument("--profile", type=int, choices=(0, 1, 2), metavar="LEVEL",
                        help="profile databases without a level of their own: 0 nothing, 1 what "
                             "is slow, 2 all (0)")
    parser.add_argument("--oplogMinRetentionHours", type=_hours, metavar="HOURS",
                        help="and what is younger than this, whatever its size (0)")


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `psdb`."""
    from psdb_base.version import PSDB_VERSION

    parser = _Parser(
        prog="psdb", allow_abbrev=False,
        description="A MongoDB-wire-compatible sharded document database in Python.",
    )
    parser.add_argument("--version", action="version", version=f"psdb {PSDB_VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    up = commands.add_parser("up", allow_abbrev=False, help="start a cluster on this machine")
    _server_flags(up, "up")
    _storage_flags(up, "psdb-data")
    for name, text in _COUNTS.items():
        up.add_argument(f"--{name}", type=int, default=1, metavar="N",
                        help=f"number of {text} (%(default)s); more are processes of their own")
    up.add_argument("--replset", metavar="NAME", default="",
                    help="start a plain replica set of this name, without a router")

    router = commands.add_parser("router", allow_abbrev=False, help="start a router (mongos)")
    _server_flags(router, "router")
    router.add_argument("--configdb", required=True, type=_address, metavar="HOST:PORT",
                        help="the config server")

    for name, text in (("shardsvr", "start a shard (mongod --shardsvr)"),
                       ("configsvr", "start a config server (mongod --configsvr)")):
        member = commands.add_parser(name, allow_abbrev=False, help=text)
        _server_flags(member, name)
        _storage_flags(member, "/data/db")
        member.add_argument("--replSet", metavar="NAME", default="",
                            help="belong to the replica set of this name")
        member.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)

    initiate = commands.add_parser(
        "initiate", allow_abbrev=False,
        help="make replica sets of running members, and shards of replica sets",
    )
    initiate.add_argument("--configdb", type=_set, metavar="SET/HOST:PORT,…",
                          help="the config servers, to be made a replica set")
    initiate.add_argument("--shard", type=_set, action="append", default=[], dest="shards",
                          metavar="SET/HOST:PORT,…", help="a shard's members; may be repeated")
    initiate.add_argument("--router", type=_address, metavar="HOST:PORT",
                          help="the router through which the shards are added")
    initiate.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS",
                          help="how long to wait for all of it (%(default)s)")

    status = commands.add_parser(
        "status", allow_abbrev=False, help="show members, roles, lag and chunks of a cluster",
    )
    _add_server(status, "a router, or a member of a replica set")
    status.add_argument("--json", action="store_true", help="as one line of JSON")
    status.add_argument("--watch", type=float, nargs="?", const=2.0, metavar="SECONDS",
                        help="again and again (every %(const)s s)")

    from psdb.tool_options import add_tools

    add_tools(commands)

    ping = commands.add_parser("ping", allow_abbrev=False, help="ask a server whether it answers")
    _add_server(ping, "the server")
    ping.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS")
    return parser


def _add_server(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "addresses", nargs="?", default="127.0.0.1:27017", type=_addresses,
        metavar="HOST:PORT[,…]|URI", help=f"{what} (%(default)s), of several the first to answer",
    )


def _addresses(text: str) -> list[str]:
    from psdb.addresses import addresses_of

    try:
        return addresses_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse a command line; bad ones exit with code 2."""
    from psdb.config_file import ConfigError, expanded

    parser = build_parser()
    try:
        argv = expanded(argv)
    except ConfigError as error:
        parser.error(str(error))
    options = parser.parse_args(argv)
    if options.command == "up":
        try:
            shape_of(options).check()
        except ValueError as error:
            parser.error(str(error))
        if options.logpath and not shape_of(options).is_one_process:
            parser.error("--logpath does not go with several processes: each has its log in "
                         "the dbpath")
    return options


def shape_of(options: argparse.Namespace) -> Shape:
    """Return the shape of the cluster that `psdb up` is asked for."""
    from psdb.layout import Shape

    return Shape(
        options.replset, options.replicas, options.shards, options.configsvrs, options.routers
    )


def as_document(options: argparse.Namespace, argv: list[str]) -> Document:
    """Return the options as `getCmdLineOpts` shows them, in MongoDB's configuration names."""
    addresses = "*" if options.bind_ip_all else options.bind_ip
    compressors = options.networkMessageCompressors
    document: Document = {
        "argv": ["psdb", *argv],
        "net": {
            "bindIp": addresses,
            "port": options.port,
            "compressors": [] if compressors == "disabled" else compressors.split(","),
        },
    }
    if options.parameters:
        document["setParameter"] = dict(options.parameters)
    if getattr(options, "dbpath", None):
        document["storage"] = _storage_document(options)
        if options.oplogSize is not None:
            document.setdefault("replication", {})["oplogSizeMB"] = options.oplogSize
    if getattr(options, "configdb", None):
        document["sharding"] = {"configDB": options.configdb}
    elif options.command in ("shardsvr", "configsvr"):
        document["sharding"] = {"clusterRole": options.command}
    if options.noscripting:
        document["security"] = {"javascriptEnabled": False}
    if getattr(options, "replSet", ""):
        name = options.replSet.partition("/")[0]
        document["replication"] = {**document.get("replication", {}), "replSetName": name}
    if options.config:
        document["config"] = options.config
    profiling: Document = {}
    if options.slowms is not None:
        profiling["slowOpThresholdMs"] = options.slowms
    if getattr(options, "profile", None) is not None:
        profiling["mode"] = PROFILING_MODES[options.profile]
    if options.slowOpSampleRate is not None:
        profiling["slowOpSampleRate"] = options.slowOpSampleRate
    if profiling:
        document["operationProfiling"] = profiling
    if options.logpath:
        document["systemLog"] = {"destination": "file", "path": options.logpath}
    return document


def _storage_document(options: argparse.Namespace) -> Document:
    storage: Document = {"dbPath": options.dbpath}
    if options.cacheSizeMB is not None:
        storage["cacheSizeMB"] = options.cacheSizeMB
    if options.wiredTigerCacheSizeGB is not None:
        engine: Document = {"engineConfig": {"cacheSizeGB": options.wiredTigerCacheSizeGB}}
        storage["wiredTiger"] = engine
    if options.oplogMinRetentionHours is not None:
        storage["oplogMinRetentionHours"] = options.oplogMinRetentionHours
    return storage
