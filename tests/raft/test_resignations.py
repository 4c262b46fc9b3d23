"""Why a leader left office: the core tells its driver, once."""

from __future__ import annotations

import pytest
from raft.scripting import Script

from psdb_raft.values import Cause, Resignation


@pytest.mark.parametrize(("then", "cause", "member"), [
    ("cut b a\ncut c a\nstand b\nstabilize b c\nheal\nlive 5", Cause.HIGHER_TERM, "b"),
    ("transfer a c\nstabilize", Cause.HANDED_OVER, "c"),
    ("cut a\ntick a 40", Cause.NO_QUORUM, None),
    ("hold a\npropose a\nstabilize\nlive 61", Cause.DISK_HANGS, None),
    ("config a b c\nstabilize\nlive 3", Cause.NO_VOTER, None),
    ("step-down a", "stepped down", None),
    ("timeout b\nstabilize\nlive 3", None, None),
], ids=["higher term", "handed over", "no quorum", "disk", "removed", "told to", "stays"])
def test_a_leader_says_why_it_left_office(then: str, cause: str | None, member: str | None) -> None:
    script = Script()
    script.run(f"group a b c\nelect a\n{then}\n----")
    expected = [] if cause is None else [Resignation(cause, member)]
    assert script.lab.nodes["a"].resigned == expected
    assert script.lab.nodes["b"].resigned == script.lab.nodes["c"].resigned == []
