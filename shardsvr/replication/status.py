"""`hello` on a replica set, and `replSetGetStatus` (manual: "replSetGetStatus", "hello")."""

from __future__ import annotations

from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from psdb_base.values import Document
from shardsvr.replication import replica_set as states
from shardsvr.replication.config import MemberConfig, ReplSetConfig
from shardsvr.replication.heartbeats import PeerView, op_time
from shardsvr.replication.replica_set import ReplicaSet

_NO_TIME = Timestamp(0, 0)


def election_id(term: int) -> ObjectId:
    """Return the `electionId` of a term: later terms compare higher."""
    return ObjectId(b"\x7f\xff\xff\xff" + term.to_bytes(8, "big"))


def describe(replica_set: ReplicaSet, primary: str) -> Document:
    """Return the fields of `hello` that tell the role; `primary` names the writability field."""
    config, own = replica_set.config, replica_set.own
    if config is None or own is None or replica_set.state == states.REMOVED:
        return {
            primary: False, "secondary": False,
            "info": "Does not have a valid replica set config", "isreplicaset": True,
        }
    document = _hosts(config)
    document |= {
        "setName": config.name, "setVersion": config.version,
        primary: replica_set.is_primary,
        "secondary": replica_set.state == states.SECONDARY,
    }
    leader = replica_set.leader
    if leader is not None:
        document["primary"] = leader.host
    if own.priority == 0:
        document["passive"] = True
    if own.hidden:
        document["hidden"] = True
    if own.tags:
        document["tags"] = dict(own.tags)
    document["me"] = own.host
    if replica_set.is_primary:
        document["electionId"] = election_id(replica_set.term)
    document["lastWrite"] = _last_write(replica_set)
    return document


def _hosts(config: ReplSetConfig) -> Document:
    shown = [row for row in config.members if not row.hidden]
    document: Document = {"hosts": [row.host for row in shown if row.priority > 0]}
    passives = [row.host for row in shown if row.priority == 0]
    if passives:
        document["passives"] = passives
    return document


def _last_write(replica_set: ReplicaSet) -> Document:
    engine = replica_set.member.engine
    versions = engine.versions
    return {
        "opTime": op_time(engine.last_timestamp, engine.received.applied.term),
        "lastWriteDate": DatetimeMS(engine.last_wall // 1000 * 1000),
        "majorityOpTime": op_time(versions.committed_time, engine.committed_term()),
        "majorityWriteDate": DatetimeMS(versions.committed_wall // 1000 * 1000),
    }


def status(replica_set: ReplicaSet) -> Document:
    """Return the reply of `replSetGetStatus`."""
    config = replica_set.config
    assert config is not None
    member = replica_set.member
    leader = replica_set.leader
    source = leader if leader is not None and not replica_set.is_primary else None
    document: Document = {
        "set": config.name,
        "date": DatetimeMS(member.world.clock.now_ms()),
        "myState": replica_set.state,
        "term": Int64(replica_set.term),
        "syncSourceHost": "" if source is None else source.host,
        "syncSourceId": -1 if source is None else source.id,
        "heartbeatIntervalMillis": Int64(config.settings["heartbeatIntervalMillis"]),
        "majorityVoteCount": config.majority,
        "writeMajorityCount": config.majority,
        "votingMembersCount": len(config.voters),
        "writableVotingMembersCount": len(config.voters),
        "optimes": _optimes(replica_set),
        "lastStableRecoveryTimestamp": member.engine.versions.committed_time,
    }
    if replica_set.is_primary:
        document["electionCandidateMetrics"] = {
            "lastElectionReason": "electionTimeout",
            "lastElectionDate": DatetimeMS(replica_set.election_wall),
            "electionTerm": Int64(replica_set.term),
            "numVotesNeeded": config.majority,
        }
    document["members"] = [_row(replica_set, config, row) for row in config.members]
    return document


def _optimes(replica_set: ReplicaSet) -> Document:
    engine = replica_set.member.engine
    versions = engine.versions
    committed = op_time(versions.committed_time, engine.committed_term())
    last = op_time(engine.last_timestamp, engine.received.applied.term)
    committed_wall, last_wall = DatetimeMS(versions.committed_wall), DatetimeMS(engine.last_wall)
    return {
        "lastCommittedOpTime": committed, "lastCommittedWallTime": committed_wall,
        "readConcernMajorityOpTime": committed,
        "appliedOpTime": last, "durableOpTime": last, "writtenOpTime": last,
        "lastAppliedWallTime": last_wall, "lastDurableWallTime": last_wall,
        "lastWrittenWallTime": last_wall,
    }


def _row(replica_set: ReplicaSet, config: ReplSetConfig, row: MemberConfig) -> Document:
    if row.member_id == replica_set.member.engine.member.id:
        return _own_row(replica_set, config, row)
    view = replica_set.heartbeats.view(row.host)
    return _other_row(replica_set, row, view)


def _own_row(replica_set: ReplicaSet, config: ReplSetConfig, row: MemberConfig) -> Document:
    member, engine = replica_set.member, replica_set.member.engine
    leader = replica_set.leader
    last = op_time(engine.last_timestamp, engine.received.applied.term)
    wall = DatetimeMS(engine.last_wall)
    document: Document = {
        "_id": row.id, "name": row.host, "health": 1.0,
        "state": replica_set.state, "stateStr": states.STATE_NAMES[replica_set.state],
        "uptime": int(member.world.clock.monotonic() - member.started),
        "optime": last, "optimeDate": DatetimeMS(engine.last_timestamp.time * 1000),
        "optimeDurable": last, "optimeDurableDate": DatetimeMS(engine.last_timestamp.time * 1000),
        "lastAppliedWallTime": wall, "lastDurableWallTime": wall, "lastWrittenWallTime": wall,
        "syncSourceHost": "", "syncSourceId": -1, "infoMessage": "",
    }
    if replica_set.is_primary:
        document["electionTime"] = replica_set.election_time
        document["electionDate"] = DatetimeMS(replica_set.election_wall)
    elif leader is not None:
        document["syncSourceHost"], document["syncSourceId"] = leader.host, leader.id
    document |= {
        "configVersion": config.version, "configTerm": Int64(config.term), "self": True,
        "lastHeartbeatMessage": "",
    }
    return document


def _other_row(replica_set: ReplicaSet, row: MemberConfig, view: PeerView) -> Document:
    now = replica_set.member.world.clock.now_ms()
    state = view.state if view.healthy or view.error else 6
    name = states.STATE_NAMES.get(state, "UNKNOWN")
    document: Document = {
        "_id": row.id, "name": row.host, "health": 1.0 if view.healthy else 0.0,
        "state": state, "stateStr": name,
        "uptime": max(0, (now - view.up_since) // 1000) if view.healthy else 0,
    }
    applied: Any = view.applied if view.healthy else None
    durable: Any = view.durable if view.healthy else None
    zero = op_time(_NO_TIME, -1)
    applied, durable = applied or zero, durable or zero
    document |= {
        "optime": applied, "optimeDurable": durable,
        "optimeDate": DatetimeMS(applied["ts"].time * 1000),
        "optimeDurableDate": DatetimeMS(durable["ts"].time * 1000),
        "lastAppliedWallTime": DatetimeMS(view.applied_wall),
        "lastDurableWallTime": DatetimeMS(view.durable_wall),
        "lastWrittenWallTime": DatetimeMS(view.applied_wall),
        "lastHeartbeat": DatetimeMS(view.last_sent),
        "lastHeartbeatRecv": DatetimeMS(view.last_received),
        "pingMs": Int64(round(view.ping_ms)),
        "lastHeartbeatMessage": view.error,
        "syncSourceHost": view.sync_source,
        "syncSourceId": _id_of(replica_set, view.sync_source),
        "infoMessage": "",
    }
    if view.healthy and view.state == states.PRIMARY:
        document["electionTime"] = view.election_time
        document["electionDate"] = DatetimeMS(view.election_wall)
    document |= {"configVersion": view.config_version, "configTerm": Int64(view.config_term)}
    return document


def _id_of(replica_set: ReplicaSet, host: str) -> int:
    config = replica_set.config
    row = None if config is None or not host else config.by_host(host)
    return -1 if row is None else row.id
