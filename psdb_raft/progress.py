"""What a leader knows of a peer, and how much it may send it."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field


class Flow(enum.Enum):
    """How a leader sends to a peer.

    PROBE: one message, then wait: where the logs match is not known. REPLICATE: messages go out
    before earlier ones are acknowledged, up to a window. SNAPSHOT: no entries until it has one.
    """

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(slots=True)
class Progress:
    """A peer as its leader sees it.

    Attributes:
        match: The peer's durable log equals the leader's up to here.
        next: The next entry to send.
        applied: The peer applied its log up to here.
        flow: See `Flow`.
        waiting: In PROBE: a message is out.
        snapshot_index: In SNAPSHOT: the leader's first kept position when it began.
        window: `(last index, bytes)` of each message that is out.
        window_bytes: Their sum.
        commit_told: The highest commit index sent.
        round: The highest heartbeat round answered.
        silent_ticks: Ticks since it was heard from.
        gone: Its process seems to be gone; it was not heard from since.

    """

    next: int
    match: int = 0
    applied: int = 0
    flow: Flow = Flow.PROBE
    waiting: bool = False
    snapshot_index: int = 0
    window: deque[tuple[int, int]] = field(default_factory=deque)
    window_bytes: int = 0
    commit_told: int = 0
    round: int = 0
    silent_ticks: int = 0
    gone: bool = False

    def heard(self) -> None:
        """Note that a message came from it."""
        self.silent_ticks = 0
        self.gone = False

    def probe(self, next_: int | None = None) -> None:
        """Find out anew where the logs match, from `next_` or behind what matched."""
        self.next = max(self.match + 1, next_ or 0)
        self._begin(Flow.PROBE)

    def replicate(self) -> None:
        """Send without waiting: the logs match up to `match`."""
        self.next = max(self.next, self.match + 1)
        self._begin(Flow.REPLICATE)

    def want_snapshot(self, index: int) -> None:
        """Send nothing until it has a snapshot at or after `index`."""
        self._begin(Flow.SNAPSHOT)
        self.snapshot_index = index

    def _begin(self, flow: Flow) -> None:
        self.flow = flow
        self.waiting = False
        self.window.clear()
        self.window_bytes = 0

    def is_full(self, messages: int, size_bytes: int) -> bool:
        """Tell whether nothing may be sent now."""
        if self.flow is Flow.PROBE:
            return self.waiting
        if self.flow is Flow.SNAPSHOT:
            return True
        return len(self.window) >= messages or self.window_bytes >= size_bytes

    def sent(self, last: int, size_bytes: int) -> None:
        """Note that entries up to `last` went out."""
        if self.flow is Flow.PROBE:
            self.waiting = True
        else:
            assert self.flow is Flow.REPLICATE
            self.next = last + 1
            self.window.append((last, size_bytes))
            self.window_bytes += size_bytes

    def acknowledge(self, match: int) -> bool:
        """Take in an acknowledgement; tell whether it says anything new."""
        while self.window and self.window[0][0] <= match:
            self.window_bytes -= self.window.popleft()[1]
        if match <= self.match:
            return False
        self.match = match
        self.next = max(self.next, match + 1)
        return True
