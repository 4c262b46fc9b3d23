"""Founding a set and changing who belongs to it: `replSetInitiate`, `replSetReconfig`.

And what the primary does by itself: a member that is new, or whose dbpath was emptied, learns
first and votes later.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from shardsvr.replication.config import MemberConfig, ReplSetConfig
from shardsvr.replication.heartbeats import PeerView

if TYPE_CHECKING:
    from shardsvr.replication.replica_set import ReplicaSet

_OWN_CHANGE_SECONDS: Final = 5.0
"""A user's change waits so long for one that the primary makes by itself."""


# -- replSetInitiate -------------------------------------------------------------------------------


async def initiate(replica_set: ReplicaSet, document: Document | None) -> None:
    """Found a set.

    Raises:
        MongoError: 23 when this member belongs to a set, 93 for a bad configuration, 74 when a
            member does not answer or none is this one, 95 when another one has data.

    """
    if replica_set.driver is not None or replica_set.change_in_progress:
        raise MongoError(Code.ALREADY_INITIALIZED, "already initialized")
    replica_set.change_in_progress = True
    try:
        config = _first_config(replica_set, document or {})
        config = await _with_member_ids(replica_set, config)
        if replica_set.driver is not None:
            raise MongoError(Code.ALREADY_INITIALIZED, "already initialized")
        await replica_set.found(config)
    finally:
        replica_set.change_in_progress = False


def _first_config(replica_set: ReplicaSet, document: Document) -> ReplSetConfig:
    if not document:
        document = {
            "_id": replica_set.name, "version": 1,
            "members": [{"_id": 0, "host": replica_set.member.default_host()}],
        }
    config = ReplSetConfig.parse(document)
    if config.name != replica_set.name:
        raise _invalid(
            f"Attempting to initiate a replica set with name {config.name}, but command line "
            f"reports {replica_set.name}; rejecting"
        )
    if config.set_id is not None:
        raise _invalid("replica set configuration cannot contain 'replicaSetId' field when "
                       "called from replSetInitiate")
    if config.version != 1 and "version" in document:
        raise _invalid(
            f"Configuration used to initiate a replica set must  have version 1, but found "
            f"{config.version}"
        )
    _check_role(replica_set, config)
    set_id = replica_set.member.world.random.object_id()
    return dataclasses.replace(config, version=1, term=1, set_id=set_id)


def _check_role(replica_set: ReplicaSet, config: ReplSetConfig) -> None:
    is_config_server = replica_set.member.is_config_server
    if config.configsvr and not is_config_server:
        raise _invalid(
            "Nodes started without the --configsvr option cannot be used in a replica set "
            "configuration with configsvr:true"
        )
    if is_config_server and not config.configsvr:
        raise _invalid(
            "Nodes being used for config servers must be started with the --configsvr flag, and "
            "configsvr:true must be set in the replica set configuration"
        )


async def _with_member_ids(replica_set: ReplicaSet, config: ReplSetConfig) -> ReplSetConfig:
    """Ask every member for its id; check that they may found a set together."""
    own_id = replica_set.member.engine.member.id
    rows: list[MemberConfig] = []
    for row in config.members:
        view = await replica_set.heartbeats.ask(row.host)
        if not view.healthy:
            raise MongoError(
                Code.NODE_NOT_FOUND,
                "replSetInitiate quorum check failed because not all proposed set members "
                f"responded affirmatively: {row.host} failed with {view.error}",
            )
        _check_newcomer(replica_set, config, row, view, own_id)
        rows.append(dataclasses.replace(row, member_id=view.member_id))
    own = [row for row in rows if row.member_id == own_id]
    if not own:
        raise _invalid(
            f"No host described in new configuration with {{version: {config.version}, term: "
            f"{config.term}}} for replica set {config.name} maps to this node"
        )
    if len(own) > 1:
        raise _invalid(
            f"The hosts {own[0].host} and {own[1].host} all map to this node in new configuration"
        )
    if own[0].priority == 0:
        raise _invalid(
            f"This node, {own[0].host}, with _id {own[0].id} is not electable under the new "
            f"configuration"
        )
    return dataclasses.replace(config, members=tuple(rows))


def _check_newcomer(
    replica_set: ReplicaSet, config: ReplSetConfig, row: MemberConfig, view: PeerView, own_id: str
) -> None:
    if view.set_name != replica_set.name:
        raise MongoError(
            Code.INVALID_REPLICA_SET_CONFIG,
            f"Our set name of {config.name} does not match the set name {view.set_name} reported "
            f"by {row.host}",
        )
    if view.member_id == own_id:
        return
    if view.set_id:
        raise _invalid(f"Our replica set ID did not match that of our request target {row.host}")
    if view.has_data:
        raise MongoError(
            Code.CANNOT_INITIALIZE_NODE_WITH_DATA,
            f"'{row.host}' has data already, cannot initiate set.",
        )


# -- replSetReconfig -------------------------------------------------------------------------------


async def reconfigure(replica_set: ReplicaSet, document: Document) -> None:
    """Change the configuration.

    Raises:
        MongoError: 10107 not primary, 93 or 103 for a configuration that may not be, 109 while
            another change is under way, 74 for a member that does not answer.

    """
    if not replica_set.is_primary:
        raise MongoError(
            Code.NOT_WRITABLE_PRIMARY,
            "Safe reconfig is only allowed on a writable PRIMARY. Current state "
            + replica_set.state_name + ";",
        )
    new = ReplSetConfig.parse(document)
    await _one_change(replica_set, new)


async def _one_change(replica_set: ReplicaSet, new: ReplSetConfig) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_OWN_CHANGE_SECONDS):
            while replica_set.changes_itself:
                await replica_set.progress()
    if replica_set.change_in_progress:
        raise MongoError(
            Code.CONFIGURATION_IN_PROGRESS,
            "Cannot run replSetReconfig because the node is currently updating its configuration",
        )
    replica_set.change_in_progress = True
    try:
        old = replica_set.config
        assert old is not None
        _check_against(old, new)
        _check_role(replica_set, new)
        new = await _known_ids(replica_set, old, new)
        new = dataclasses.replace(new, term=replica_set.term, set_id=old.set_id)
        _check_own(replica_set, new)
        await _check_quorum(replica_set, new)
        await replica_set.change(new)
    finally:
        replica_set.change_in_progress = False


def _check_against(old: ReplSetConfig, new: ReplSetConfig) -> None:
    """Check a new configuration against the one in effect."""
    if new.name != old.name:
        raise _incompatible(
            "New and old configurations differ in replica set name; old was "
            f"{old.name}, and new is {new.name}"
        )
    if new.set_id is not None and new.set_id != old.set_id:
        raise _incompatible(
            "New and old configurations differ in replica set ID; old was "
            f"{old.set_id}, and new is {new.set_id}"
        )
    if new.configsvr != old.configsvr:
        raise _incompatible(
            "New and old configurations differ in the setting of the configsvr field"
        )
    if new.version <= old.version:
        raise _incompatible(
            "New replica set configuration version must be greater than old, but "
            f"{new.version} is not greater than {old.version} for replica set {old.name}"
        )
    for row in new.members:
        before = old.by_host(row.host)
        if before is not None and before.id != row.id:
            raise _incompatible(
                f"New and old configurations both have members with host of {row.host} but in the "
                f"new configuration the _id field is {row.id} and in the old configuration it is "
                f"{before.id} for replica set {old.name}"
            )
    was = [row.id for row in old.members if row.votes]
    now = [row.id for row in new.members if row.votes]
    changed = [i for i in was if i not in now] + [i for i in now if i not in was]
    if len(changed) > 1:
        raise _incompatible(
            "Non force replset reconfig can only add or remove at most 1 voting member, old config "
            f"has {len(was)} voting members and new config has {len(now)} voting members"
        )


async def _known_ids(
    replica_set: ReplicaSet, old: ReplSetConfig, new: ReplSetConfig
) -> ReplSetConfig:
    """Fill in the members' ids; who is new, or becomes a voter, learns first."""
    rows: list[MemberConfig] = []
    for row in new.members:
        before = next((one for one in old.members if one.id == row.id), None)
        if before is not None and before.host == row.host:
            learns = before.newly_added or (row.votes == 1 and not before.is_voter)
            rows.append(dataclasses.replace(
                row, member_id=before.member_id, newly_added=learns and row.votes == 1,
            ))
            continue
        view = await replica_set.heartbeats.ask(row.host)
        if before is not None and view.healthy and view.member_id == before.member_id:
            rows.append(dataclasses.replace(
                row, member_id=before.member_id, newly_added=before.newly_added,
            ))
            continue
        member_id = ""
        if view.healthy:
            _check_joins(replica_set, new, row, view)
            member_id = view.member_id
        if any(one.member_id == member_id for one in rows if member_id):
            raise _invalid(f"two members of the new configuration are the same server: {row.host}")
        rows.append(dataclasses.replace(row, member_id=member_id, newly_added=row.votes == 1))
    return dataclasses.replace(new, members=tuple(rows))


def _check_joins(
    replica_set: ReplicaSet, config: ReplSetConfig, row: MemberConfig, view: PeerView
) -> None:
    driver = replica_set.driver
    assert driver is not None
    if view.set_name != replica_set.name:
        raise _invalid(
            f"Our set name of {config.name} does not match the set name {view.set_name} reported "
            f"by {row.host}"
        )
    if view.set_id and view.set_id != driver.core.group:
        raise _invalid(f"Our replica set ID did not match that of our request target {row.host}")
    if view.has_data and not view.set_id:
        raise MongoError(
            Code.CANNOT_INITIALIZE_NODE_WITH_DATA,
            f"'{row.host}' has data already, cannot join the set.",
        )


def _check_own(replica_set: ReplicaSet, new: ReplSetConfig) -> None:
    own = new.by_member_id(replica_set.member.engine.member.id)
    if own is None:
        raise MongoError(
            Code.NODE_NOT_FOUND,
            f"No host described in new configuration with {{version: {new.version}, term: "
            f"{new.term}}} for replica set {new.name} maps to this node",
        )
    if own.priority == 0:
        raise MongoError(
            Code.NODE_NOT_ELECTABLE,
            f"This node, {own.host}, with _id {own.id} is not electable under the new "
            f"configuration version {new.version} for replica set {new.name}",
        )


async def _check_quorum(replica_set: ReplicaSet, new: ReplSetConfig) -> None:
    """Refuse a configuration whose voters could not commit it: it would end the set's office.

    A configuration counts from when it is in the log. One that cannot be committed leaves a set
    that nobody can lead, for as long as its voters do not come back.
    """
    own_id = replica_set.member.engine.member.id
    asked = [row for row in new.voters if row.member_id != own_id]
    views = await asyncio.gather(*(replica_set.heartbeats.ask(row.host) for row in asked))
    reached, missing = [row.host for row in new.voters if row.member_id == own_id], []
    for row, view in zip(asked, views, strict=True):
        if view.healthy and view.member_id == row.member_id:
            reached.append(row.host)
        else:
            reason = view.error or "it is another member than before"
            missing.append(f"{row.host} failed with {reason}")
    if len(reached) < new.majority:
        raise MongoError(
            Code.NODE_NOT_FOUND,
            "replSetReconfig quorum check failed because not enough voting nodes responded; "
            f"required {new.majority} but only the following {len(reached)} voting nodes "
            f"responded: {', '.join(reached)}; the following nodes did not respond affirmatively: "
            f"{', '.join(missing)}",
        )


# -- what the primary does by itself ---------------------------------------------------------------


async def look_at(replica_set: ReplicaSet, host: str, view: PeerView) -> None:
    """After a member answered: take in a new dbpath behind an address, or let a learner vote."""
    config = replica_set.config
    if not replica_set.is_primary or config is None or replica_set.change_in_progress:
        return
    row = config.by_host(host)
    driver = replica_set.driver
    if row is None or driver is None or view.set_name != replica_set.name:
        return
    new: MemberConfig | None = None
    if view.member_id != row.member_id:
        foreign = view.set_id not in ("", driver.core.group)
        if foreign or (view.has_data and not view.set_id):
            return
        new = dataclasses.replace(row, member_id=view.member_id, newly_added=row.votes == 1)
    elif row.newly_added:
        progress = driver.core.progress.get(row.member_id)
        if progress is None or progress.match < driver.core.commit:
            return
        new = dataclasses.replace(row, newly_added=False)
    if new is None:
        return
    await _replace_row(replica_set, config, new)


async def _replace_row(
    replica_set: ReplicaSet, config: ReplSetConfig, new: MemberConfig
) -> None:
    rows = tuple(new if row.id == new.id else row for row in config.members)
    changed = dataclasses.replace(
        config, version=config.version + 1, term=replica_set.term, members=rows
    )
    replica_set.change_in_progress = replica_set.changes_itself = True
    try:
        await replica_set.change(changed)
    except MongoError as error:
        replica_set.member.world.log.write(
            "I", "REPL", 7200002, "A change of the configuration has to wait",
            {"host": new.host, "error": str(error)},
        )
    finally:
        replica_set.change_in_progress = replica_set.changes_itself = False


def _invalid(message: str) -> MongoError:
    return MongoError(Code.INVALID_REPLICA_SET_CONFIG, message)


def _incompatible(message: str) -> MongoError:
    return MongoError(Code.NEW_REPLICA_SET_CONFIGURATION_INCOMPATIBLE, message)
