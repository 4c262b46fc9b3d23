"""Planted faults: each a small patch of the sources that breaks one rule, and who must notice.

A fault is text that is replaced in a module when it is imported (`hook`). `finders` run in the
order given until one notices: `scripts` are those of tests/raft, `storm` its seeded storms, `sim`
the simulated replica sets.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: Says what is broken.
        patches: `(module, old text, new text)`; the old text occurs once.
        finders: Who looks for it.
        script: The script of tests/raft/scripts that shows it, if one does.

    """

    name: str
    patches: tuple[tuple[str, str, str], ...]
    finders: tuple[str, ...] = ("scripts", "storm")
    script: str = ""


DRIVER = "shardsvr.replication.driver"
CANDIDATE, CORE, FOLLOWER = "psdb_raft.candidate", "psdb_raft.core", "psdb_raft.follower"
LEADER, LOG, STATE, VALUES = (
    "psdb_raft.leader", "psdb_raft.log", "psdb_raft.state", "psdb_raft.values",
)  # fmt: skip

FAULTS: tuple[Fault, ...] = (
    # -- promises and disks ------------------------------------------------------------------------
    Fault(
        "a vote leaves before it is durable",
        ((STATE, "            (self.outbox if waits else ready)",
          "            (self.outbox if waits and not granted else ready)"),),
        script="votes_and_disk",
    ),
    Fault(
        "a candidate asks before its term is durable",
        ((STATE, ("            waits = message.term > self.saved.term and message.term <= "
          "self.term\n"), "            waits = False\n"),),
        script="votes_and_disk",
    ),
    Fault(
        "the vote is forgotten over a restart",
        ((CORE, ("        self.term, self.vote, self.saved = hard_state.term, hard_state.vote, "
          "hard_state\n"),
          "        self.term, self.vote, self.saved = hard_state.term, None, hard_state\n"),),
        script="votes_and_disk",
    ),
    Fault(
        "the term is forgotten over a restart",
        ((CORE, ("        self.term, self.vote, self.saved = hard_state.term, hard_state.vote, "
          "hard_state\n"),
          ("        self.term, self.vote = self.log.last_term, None\n"
          "        self.saved = HardState(self.term)\n")),),
        script="restarts",
    ),
    Fault(
        "a follower acknowledges before its disk has it",
        ((STATE, "        match = min(self.durable, self.matched)\n",
          "        match = self.matched\n"),),
        script="commit",
    ),
    Fault(
        "a leader counts its own entries before its disk has them",
        ((LEADER, "state.quorum_value(state.durable, lambda progress: progress.match)",
          "state.quorum_value(state.log.last_index, lambda progress: progress.match)"),),
        script="commit",
    ),
    Fault(
        "a late report about removed entries counts",
        ((CORE, "        if generation != self.generation:\n            return\n", ""),
         (CORE, '        assert index <= self.log.last_index, "more is durable than there is"\n',
          "        index = min(index, self.log.last_index)\n")),
        script="commit",
    ),
    Fault(
        "what is committed is applied before the own disk has it",
        ((CORE, "        committed = min(self.commit, self.durable)\n",
          "        committed = self.commit\n"),),
        script="commit",
    ),
    Fault(
        "a leader whose disk hangs stays",
        ((LEADER, "    return state.stalled >= state.settings.disk_ticks\n",
          "    return False\n"),),
        finders=("scripts",), script="disk",
    ),
    Fault(
        "a snapshot is acknowledged before it is installed",
        ((STATE, "        self.generation += 1\n        self.durable = 0\n",
          "        self.generation += 1\n        self.durable = position.index\n"),
         (FOLLOWER, "always=not state.installing", "always=True")),
        script="snapshots",
    ),
    # -- elections ---------------------------------------------------------------------------------
    Fault(
        "no pre-vote",
        ((CANDIDATE, "    if transfer:\n        _stand(state, transfer=True)\n",
          "    if True:\n        _stand(state, transfer=transfer)\n"),),
        finders=("scripts",), script="prevote",
    ),
    Fault(
        "a pre-vote does not look at the log",
        ((CANDIDATE, ("        and not state.hears_leader\n"
          "        and state.log.is_behind(message.last_index, message.last_term)\n"),
          "        and not state.hears_leader\n"),),
        finders=("scripts",), script="prevote",
    ),
    Fault(
        "a vote does not look at the log",
        ((CANDIDATE, ("state.leader == message.sender)\n"
          "        and state.log.is_behind(message.last_index, message.last_term)\n"),
          "state.leader == message.sender)\n"),
         (CANDIDATE, ("        and not state.hears_leader\n"
          "        and state.log.is_behind(message.last_index, message.last_term)\n"),
          "        and not state.hears_leader\n")),
        script="elections",
    ),
    Fault(
        "a longer log beats a higher last term",
        ((LOG, "        return (term, index) >= (self.last_term, self.last_index)\n",
          "        return (index, term) >= (self.last_index, self.last_term)\n"),),
        script="elections",
    ),
    Fault(
        "a member votes twice in a term",
        ((CANDIDATE, "        state.vote in {None, message.sender}\n        and ", "        "),),
        script="elections",
    ),
    Fault(
        "a vote request disturbs a group that has a leader",
        ((CORE, ("        if isinstance(message, Vote) and not message.transfer and "
          "self.hears_leader:\n            return False\n"), ""),
         (CANDIDATE, "        and not state.hears_leader\n", "")),
        finders=("scripts",), script="prevote",
    ),
    Fault(
        "a member with a higher term leaves its leader in the dark",
        ((CORE, ("        if isinstance(message, Append | Heartbeat | InstallSnapshot):\n"
          "            answer: Message = AppendResponse("),
          ("        if isinstance(message, Append | Heartbeat | InstallSnapshot):\n"
          "            return\n            answer: Message = AppendResponse(")),
         (CORE, "        elif isinstance(message, PreVote):\n            answer = ",
          "        elif isinstance(message, PreVote):\n            return\n            answer = ")),
        finders=("scripts",), script="prevote",
    ),
    Fault(
        "all members wait equally long",
        ((STATE, "        self.timeout = ticks + self.below(max(1, ticks // 2))\n",
          "        self.timeout = ticks\n"),),
    ),
    Fault(
        "a leader that hears nobody goes on",
        ((LEADER, ("    return state.quorum_value(1, lambda progress: "
          "int(progress.silent_ticks < limit)) == 1\n"), "    return bool(limit)\n"),),
        finders=("scripts",), script="check_quorum",
    ),
    Fault(
        "members refuse to vote for whom their configuration does not know",
        ((CANDIDATE, "        state.vote in {None, message.sender}\n",
          ("        state.vote in {None, message.sender}\n"
          "        and message.sender in state.config.voters\n")),),
        finders=("scripts",), script="membership",
    ),
    Fault(
        "a member of priority 0 campaigns like the others",
        ((STATE, "(member.priority > 0 or self.is_caretaker)", "True"),),
        finders=("scripts",), script="learners",
    ),
    Fault(
        "a member of priority 0 with the longest log blocks its group",
        ((STATE, "(member.priority > 0 or self.is_caretaker)", "member.priority > 0"),),
    ),
    # -- the log -----------------------------------------------------------------------------------
    Fault(
        "entries of an older term are committed by counting",
        ((LEADER, "    if index <= state.commit or state.log.term_at(index) != state.term:\n",
          "    if index <= state.commit:\n"),),
        script="figure8",
    ),
    Fault(
        "entries are taken without a look at the one before",
        ((FOLLOWER, ("    return state.log.term_at(message.previous_index) == "
          "message.previous_term\n"),
          "    return state.log.term_at(message.previous_index) is not None\n"),),
        script="log_repair",
    ),
    Fault(
        "every message cuts the log behind its entries",
        ((FOLLOWER, "    first = state.log.first_difference(message.last_index, runs)\n",
          "    first = runs[0][0] if runs else None\n"),),
        script="log_repair",
    ),
    Fault(
        "the commit index falls",
        ((STATE, "        self.commit = max(self.commit, index)\n",
          "        self.commit = index\n"),),
        script="commit",
    ),
    Fault(
        "a heartbeat tells a commit index beyond what the peer has",
        ((LEADER, "        commit = min(progress.match, state.commit)\n",
          "        commit = state.commit\n"),),
        script="flow_control",
    ),
    Fault(
        "a lost message is never sent again",
        ((LEADER, "        state.send(_append(state, message.sender, previous, previous))\n",
          "        pass\n"),),
        script="flow_control",
    ),
    Fault(
        "a lost probe is never sent again",
        ((LEADER, "    if progress.flow is Flow.PROBE:\n        progress.waiting = False\n",
          "    if progress.flow is Flow.PROBE:\n        pass\n"),),
        script="flow_control",
    ),
    Fault(
        "an answer older than the log blocks its peer",
        ((LEADER, ("    elif progress.match < previous and state.log.term_at(previous) is None:\n"
          "        progress.probe()\n"),
          ("    elif progress.match < previous and state.log.term_at(previous) is None:\n"
          "        pass\n")),),
        script="snapshots",
    ),
    Fault(
        "a follower that does not keep up is flooded",
        (("psdb_raft.progress", ("        return len(self.window) >= messages or "
          "self.window_bytes >= size_bytes\n"), "        return False\n"),),
        finders=("scripts",), script="flow_control",
    ),
    Fault(
        "an old snapshot is installed over a newer log",
        ((FOLLOWER, "    if position.index > state.commit:\n", "    if True:\n"),
         (FOLLOWER, "        if state.log.term_at(position.index) == position.term:\n",
          "        if False:\n")),
        script="snapshots",
    ),
    Fault(
        "a snapshot does not bring its configuration",
        ((STATE, "        self.configs = [(config_index, config)]\n", ""),),
        script="snapshots",
    ),
    # -- membership --------------------------------------------------------------------------------
    Fault(
        "two changes of the membership at a time",
        ((LEADER, ("    if state.config_index > state.commit:\n"
          '        return "another change of the configuration is not committed yet"\n'), ""),),
        finders=("scripts",), script="membership",
    ),
    Fault(
        "the membership changes before an entry of the term is committed",
        ((LEADER, ("    if not state.in_office:\n"
          '        return "no entry of this term is committed yet"\n'), ""),),
        finders=("scripts",), script="membership",
    ),
    Fault(
        "two voters change at a time",
        ((LEADER, "    if len(added) + len(removed) > 1:\n",
          "    if len(added) + len(removed) > 9:\n"),),
        finders=("scripts",), script="membership",
    ),
    Fault(
        "a configuration that was taken away stays in effect",
        ((STATE, "            self.configs.pop()\n", "            break\n"),
         (STATE, "        assert index > self.config_index or not self.configs\n", "")),
        script="membership",
    ),
    Fault(
        "learners count",
        ((VALUES, "for member in self.members if member.voter]", "for member in self.members]"),),
        finders=("scripts",), script="learners",
    ),
    Fault(
        "a leader that is removed stays",
        ((LEADER, "        state.leaving = True\n", "        pass\n"),),
        finders=("scripts",), script="membership",
    ),
    # -- reads and hand-over -----------------------------------------------------------------------
    Fault(
        "a read asks nobody",
        ((LEADER, ("    confirmed = state.quorum_value(state.round, lambda progress: "
          "progress.round)\n"), "    confirmed = state.round\n"),),
        script="read_index",
    ),
    Fault(
        "a read is answered before an entry of the term is committed",
        ((LEADER, "    if not state.in_office:\n        state.reads_early.append(context)\n",
          "    if False:\n        state.reads_early.append(context)\n"),),
        script="read_index",
    ),
    Fault(
        "a heartbeat sent before the question confirms a read",
        ((LEADER, "    state.reads.append((state.round + 1, state.commit, context))\n",
          "    state.reads.append((state.round, state.commit, context))\n"),),
        script="read_index",
    ),
    Fault(
        "office is handed to a member that lacks entries",
        ((LEADER, "    if state.progress[to].match == state.log.last_index:\n", "    if True:\n"),),
        finders=("scripts",), script="transfer",
    ),
    Fault(
        "a hand-over that fails blocks writes for ever",
        ((LEADER, "        if gone or state.transfer_ticks >= state.settings.election_ticks:\n",
          "        if gone:\n"),),
        finders=("scripts",), script="transfer",
    ),
    # -- the member --------------------------------------------------------------------------------
    Fault(
        "what is not committed stays in memory when office is lost",
        (("psdb_store.engine",
          "        self._take_back(self.commit_index)\n        self.last_timestamp",
          "        self.last_timestamp"),),
        finders=("sim",),
    ),
    Fault(
        "a write is answered before it is committed",
        (("shardsvr.replicated_writes",
          "    if patience is None:\n        await member.engine.committed(index)\n",
          "    if patience is None:\n"),),
        finders=("sim",),
    ),
    Fault(
        "a member tells its leader of entries that its disk does not have",
        ((DRIVER, "self.core.durable_to(self.engine.journal.durable.index, self._generation)",
          "self.core.durable_to(self.engine.journal.end.index, self._generation)"),
         (DRIVER, "        self.engine.receive(lines[order.skip :])\n",
          "        self.engine.receive(lines[order.skip :])\n        self._on_durable()\n")),
        finders=("sim",),
    ),
    Fault(
        "the records of statements are not read at a start",
        (("psdb_store.session_file", "    table.load(records)\n", "    table.load({})\n"),),
        finders=("sim",),
    ),
    Fault(
        "the records of statements stay when what they tell of is undone",
        (("psdb_store.versions",
          "                self._sessions.put(*entry.session)\n", "                pass\n"),),
        finders=("sim",),
    ),
    Fault(
        "a session's earlier statements are forgotten when its last one is undone",
        (("psdb_store.versions",
          "self._sessions.put(*entry.session)", "self._sessions.put(entry.session[0], None)"),),
        finders=("sim",),
    ),
    Fault(
        "a new leader serves before its no-op is committed",
        ((DRIVER, "        return 0 < index <= self.engine.commit_index and self.core",
          "        return 0 < index and self.core"),),
        finders=("sim",),
    ),
    Fault(
        "term and vote are not written",
        (("psdb_store.member", "= term, vote\n        await self._save()\n", "= term, vote\n"),),
        finders=("sim",),
    ),
    Fault(
        "a follower applies what is not committed",
        ((DRIVER, "            self._commit = max(self._commit, ready.committed)\n",
          "            self._commit = self.engine.log_end\n"),),
        finders=("sim",),
    ),
)
