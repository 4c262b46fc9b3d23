"""Bugs that other systems of this kind had, and what shows that this one has not.

Each is named with its condition. What shows it is the name of a planted fault (`table`), which the
scripts, storms or simulations find, or `file::test` of a test that creates the condition.
"""

from __future__ import annotations

SHOWN_BY: dict[str, tuple[str, ...]] = {
    "term or vote not persisted; all members restart at once": (
        "the term is forgotten over a restart",
        "the vote is forgotten over a restart",
    ),
    "power is lost after a vote was given and before it was synced; the member votes again": (
        "a vote leaves before it is durable",
        "a candidate asks before its term is durable",
        "a member votes twice in a term",
    ),
    "a leader commits an entry of an older term by counting (figure 8)": (
        "entries of an older term are committed by counting",
    ),
    "the commit index goes back at a new leader's lower one": (
        "the commit index falls",
        "a heartbeat tells a commit index beyond what the peer has",
    ),
    "what says how far the log is committed is ahead of the log after a power cut": (
        "what is committed is applied before the own disk has it",
        "store/test_damage.py::test_a_manifest_ahead_of_the_log_is_refused",
    ),
    "an answer before the log is synced, on a single member": (
        "a leader counts its own entries before its disk has them",
        "sim/test_power_cut.py::test_a_disk_that_does_not_sync_is_noticed",
        "sim/test_power_cut.py::test_a_reply_before_the_commit_is_noticed",
    ),
    "entries are committed whose data no disk has; all members lose their power": (
        "a follower acknowledges before its disk has it",
        "a late report about removed entries counts",
        "a write is answered before it is committed",
    ),
    "a folder is not synced, a rename comes before what it renames, writes are reordered": (
        "store/test_missing_fsync.py::test_a_missing_sync_is_found",
        "store/test_missing_fsync.py::test_a_rarely_missed_sync_is_found",
        "store/test_crash.py::test_power_cuts",
    ),
    "a torn tail is taken for damage, or damage for a torn tail": (
        "store/test_damage.py::test_every_cut_recovers_a_prefix",
        "store/test_damage.py::test_every_flipped_bit_is_refused_or_cut",
    ),
    "a read on a leader that has committed nothing in its term, or by a lease": (
        "a read is answered before an entry of the term is committed",
        "a read asks nobody",
        "a heartbeat sent before the question confirms a read",
    ),
    "a member that was cut off comes back with a high term; links that work one way": (
        "no pre-vote",
        "a pre-vote does not look at the log",
        "a vote request disturbs a group that has a leader",
        "a member with a higher term leaves its leader in the dark",
    ),
    "majorities of two configurations do not overlap; members vote by their own configuration": (
        "two changes of the membership at a time",
        "two voters change at a time",
        "members refuse to vote for whom their configuration does not know",
        "a configuration that was taken away stays in effect",
        (
            "replication/test_driver.py::"
            "test_a_peer_that_needs_old_lines_hears_of_each_configuration_in_them"
        ),
    ),
    "an emptied member comes back under its old address": (
        "sim/test_replica_sets.py::test_a_replica_set_keeps_its_promises",
        "replication/test_membership.py::test_a_set_grows_from_one_loses_a_folder_and_shrinks",
    ),
    "a leader's disk hangs while its heartbeats flow": (
        "a leader whose disk hangs stays",
    ),
    "a snapshot against applying, compaction and the membership; a disk that is full meanwhile": (
        "a snapshot does not bring its configuration",
        "a snapshot is acknowledged before it is installed",
        "an old snapshot is installed over a newer log",
        "store/test_snapshot.py::test_a_power_cut_leaves_the_old_state_or_the_new_one",
        (
            "replication/test_found_by_seeds.py::"
            "test_seed_18_a_snapshot_that_failed_is_ordered_again"
        ),
    ),
    "a busy member loses its office": (
        "base/test_real_pulses.py::test_a_loop_that_stands_still_is_spoken_for",
        "base/test_real_pulses.py::test_a_loop_that_goes_on_is_spoken_for_as_well",
        "sim/test_long_turns.py::test_long_turns_cost_no_office",
    ),
    "a statement that is sent again over a failover has its effect twice": (
        "the records of statements are not read at a start",
        "sim/test_power_cut.py::test_a_server_that_forgets_statements_is_noticed",
    ),
}
