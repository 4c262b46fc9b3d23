"""`--config FILE`: mongod's YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymongo import MongoClient
from servers import Server

from psdb.config_file import ConfigError, expanded
from psdb.layout import Layout, Shape
from psdb.options import parse
from psdb.supervisor import command_line

WHOLE = """
net: {port: 27027, bindIp: "127.0.0.1,::1", compression: {compressors: snappy}}
storage:
  dbPath: /data/x
  oplogMinRetentionHours: 1.5
  wiredTiger: {engineConfig: {cacheSizeGB: 0.5}}
replication: {oplogSizeMB: 200, replSetName: rs}
systemLog: {destination: file, path: /log/x, logAppend: true, verbosity: 2}
security: {javascriptEnabled: false, authorization: disabled}
sharding: {clusterRole: shardsvr}
operationProfiling: {mode: "off", slowOpThresholdMs: 20, slowOpSampleRate: 0.5}
processManagement: {fork: false}
setParameter: {ttlMonitorSleepSecs: 5, enableTestCommands: true}
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "psdb.yaml"
    path.write_text(text)
    return str(path)


def test_every_option_becomes_its_flag(tmp_path: Path) -> None:
    options = parse(["shardsvr", "--config", written(tmp_path, WHOLE)])
    assert (options.port, options.bind_ip) == (27027, "127.0.0.1,::1")
    assert (options.dbpath, options.oplogSize, options.replSet) == ("/data/x", 200, "rs")
    assert (options.wiredTigerCacheSizeGB, options.oplogMinRetentionHours) == (0.5, 1.5)
    assert (options.logpath, options.verbose, options.noscripting) == ("/log/x", 2, True)
    assert (options.slowms, options.slowOpSampleRate) == (20, 0.5)
    assert options.parameters == {"ttlMonitorSleepSecs": "5", "enableTestCommands": "true"}
    assert options.networkMessageCompressors == "snappy"


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "net: {port: 1}\nsetParameter: {ttlMonitorSleepSecs: 5}")
    options = parse(["up", "--port", "2", f"--config={path}", "--setParameter",
                     "ttlMonitorSleepSecs=6"])
    assert (options.port, options.parameters) == (2, {"ttlMonitorSleepSecs": "6"})
    assert expanded(["ping", "--config", path]) == ["ping", "--config", path]


@pytest.mark.parametrize(("text", "named"), [
    ("net: {tls: {mode: requireTLS}}", "net.tls.mode"),
    ("processManagement: {fork: true}", "processManagement.fork"),
    ("sharding: {clusterRole: configsvr}", "sharding.clusterRole"),
    ("systemLog: {verbosity: 9}", "systemLog.verbosity"),
    ("net: {port: [1]}", "net.port"),
    ("operationProfiling: {mode: 2}", "operationProfiling.mode"),
    ("nonsense: 1", "nonsense"),
    ("a: [", "no valid YAML"),
    ("- 1", "holds no options"),
])
def test_what_is_not_honoured_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        expanded(["shardsvr", "-f", written(tmp_path, text)])
    with pytest.raises(SystemExit) as ended:
        parse(["shardsvr", "--config", written(tmp_path, text)])
    assert ended.value.code == 2


@pytest.mark.parametrize(("mode", "level"), [("off", None), ("slowOp", 1), ("all", 2)])
def test_the_profilers_mode_is_a_level(tmp_path: Path, mode: str, level: int | None) -> None:
    path = written(tmp_path, f"operationProfiling: {{mode: {mode}}}")
    assert parse(["shardsvr", "-f", path]).profile == level


def test_processes_of_a_cluster_get_them(tmp_path: Path) -> None:
    path = written(tmp_path, "operationProfiling: {slowOpThresholdMs: 7}\nstorage: {dbPath: x}")
    options = parse(["up", "--replicas", "3", "--config", path])
    layout = Layout.plan(tmp_path / "x", Shape("", 3, 1, 1, 1), 1000, lambda: 2000)
    for process in layout.processes:
        assert "--slowms" in command_line(options, layout, process)


def test_a_server_runs_on_a_file(tmp_path: Path) -> None:
    storage = f"storage: {{dbPath: {tmp_path / 'data'}}}\n"
    path = written(tmp_path, storage + "operationProfiling: {slowOpThresholdMs: 33}")
    server = Server(["shardsvr", "--config", path], tmp_path / "data")
    with server, MongoClient(server.uri) as client:
        assert client.test.command("profile", -1)["slowms"] == 33
        parsed = client.admin.command("getCmdLineOpts")["parsed"]
        assert parsed["config"] == path
        assert parsed["operationProfiling"] == {"slowOpThresholdMs": 33}
    assert (tmp_path / "data" / "journal").is_dir()
