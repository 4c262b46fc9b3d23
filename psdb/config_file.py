"""`--config FILE`: mongod's and mongos's YAML, as the flags that it stands for.

Each option of the file becomes a flag before those of the command line, which therefore win
(manual: "Configuration File Options"). An option that PSDB does not honour is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROLES: Final = ("configsvr", "router", "shardsvr", "up")


class ConfigError(Exception):
    """The file cannot be read, or holds what cannot be honoured; the message says which."""


def _flag(name: str) -> Callable[[Any, str], list[str]]:
    """Return the rule of an option whose value is the flag's."""
    return lambda value, _command: [f"{name}={_text(value)}"]


def _switch(name: str, on: object) -> Callable[[Any, str], list[str]]:
    """Return the rule of an option that is a switch, thrown by the value `on`."""

    def rule(value: Any, _command: str) -> list[str]:
        if type(value) is not bool:
            raise ConfigError("takes true or false")
        return [name] if value is on else []

    return rule


def _only(*allowed: object) -> Callable[[Any, str], list[str]]:
    """Return the rule of an option of which PSDB has the given values only."""

    def rule(value: Any, _command: str) -> list[str]:
        if value not in allowed:
            shown = " or ".join(str(one).lower() for one in allowed)
            raise ConfigError(f"is supported by PSDB as {shown} only")
        return []

    return rule


def _verbosity(value: Any, _command: str) -> list[str]:
    if type(value) is not int or not 0 <= value <= 5:
        raise ConfigError("takes a number from 0 to 5")
    return ["-v"] * value


def _set_name(value: Any, command: str) -> list[str]:
    return [f"{'--replset' if command == 'up' else '--replSet'}={_text(value)}"]


def _mode(value: Any, _command: str) -> list[str]:
    # YAML takes a bare `off` for false.
    levels = {"off": 0, False: 0, "slowOp": 1, "all": 2}
    if type(value) not in (bool, str) or value not in levels:
        raise ConfigError("takes off, slowOp or all")
    return [f"--profile={levels[value]}"] if levels[value] else []


def _role(value: Any, command: str) -> list[str]:
    if value != command:
        raise ConfigError(f"is {value}, which psdb {command} is not")
    return []


def _text(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) not in (float, int, str):
        raise ConfigError("takes a plain value")
    return str(value)


OPTIONS: Final[dict[str, Callable[[Any, str], list[str]]]] = {
    "net.bindIp": _flag("--bind_ip"),
    "net.bindIpAll": _switch("--bind_ip_all", True),
    "net.compression.compressors": _flag("--networkMessageCompressors"),
    "net.port": _flag("--port"),
    "operationProfiling.mode": _mode,
    "operationProfiling.slowOpSampleRate": _flag("--slowOpSampleRate"),
    "operationProfiling.slowOpThresholdMs": _flag("--slowms"),
    "processManagement.fork": _only(False),
    "replication.oplogSizeMB": _flag("--oplogSize"),
    "replication.replSetName": _set_name,
    "security.authorization": _only("disabled"),
    "security.javascriptEnabled": _switch("--noscripting", False),
    "sharding.clusterRole": _role,
    "sharding.configDB": _flag("--configdb"),
    "storage.cacheSizeMB": _flag("--cacheSizeMB"),
    "storage.dbPath": _flag("--dbpath"),
    "storage.oplogMinRetentionHours": _flag("--oplogMinRetentionHours"),
    "storage.wiredTiger.engineConfig.cacheSizeGB": _flag("--wiredTigerCacheSizeGB"),
    "systemLog.destination": _only("file"),
    "systemLog.logAppend": _only(True),
    "systemLog.path": _flag("--logpath"),
    "systemLog.verbosity": _verbosity,
}
"""Options of the file by their path, and the flags each stands for."""


def expanded(argv: list[str]) -> list[str]:
    """Return a command line with the flags of its configuration file put before its own.

    Raises:
        ConfigError: The file cannot be read or holds what PSDB does not know.

    """
    if not argv or argv[0] not in ROLES:
        return argv
    path = _path_in(argv)
    if path is None:
        return argv
    return [argv[0], *flags_of(path, argv[0]), *argv[1:]]


def _path_in(argv: list[str]) -> str | None:
    for at, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name in ("--config", "-f"):
            if equals:
                return value
            return argv[at + 1] if at + 1 < len(argv) else None
    return None


def flags_of(path: str, command: str) -> list[str]:
    """Return the flags that a configuration file stands for."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return []
    if type(content) is not dict:
        raise ConfigError(f"{path} holds no options")
    flags: list[str] = []
    for name, value in _flattened(content):
        rule = OPTIONS.get(name)
        parameter = name.removeprefix("setParameter.")
        try:
            if rule is not None:
                flags += rule(value, command)
            elif parameter != name:
                flags.append(f"--setParameter={parameter}={_text(value)}")
            else:
                raise ConfigError("is not known or not supported by PSDB")
        except ConfigError as error:
            raise ConfigError(f"{path}: the option '{name}' {error}") from None
    return flags


def _flattened(content: dict[Any, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in content.items():
        name = f"{before}{key}"
        if type(value) is dict:
            found += _flattened(value, f"{name}.")
        else:
            found.append((name, value))
    return found
