"""What the core knows of the log: positions, never entries.

Terms only rise along a log, so a table of the runs of equal terms tells the term of every index;
some marks of summed bytes tell about how large a range is.
"""

from __future__ import annotations

from bisect import bisect_right

from psdb_raft.values import START, Position

_MARK_BYTES = 64 * 1024


class LogTable:
    """Terms and sizes of the entries after `before`, all in memory.

    Attributes:
        before: Position before the first entry kept.
        last_index: Index of the last entry.

    """

    def __init__(self, before: Position = START) -> None:
        self.restore(before)

    def restore(self, before: Position) -> None:
        """Forget everything: the log is empty and begins after `before`."""
        self.before = before
        self.last_index = before.index
        self._firsts: list[int] = []
        self._terms: list[int] = []
        self._marks: list[tuple[int, int]] = [(before.index, 0)]
        self._bytes = 0

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self._terms[-1] if self._terms else self.before.term

    @property
    def last(self) -> Position:
        """Position of the last entry."""
        return Position(self.last_index, self.last_term)

    def term_at(self, index: int) -> int | None:
        """Term of an entry, or of the position before the first; None for what is not known."""
        if index == self.before.index:
            return self.before.term
        if not self.before.index < index <= self.last_index:
            return None
        return self._terms[bisect_right(self._firsts, index) - 1]

    def append(self, term: int, size_bytes: int = 0) -> None:
        """Take in the next entry."""
        self.extend(self.last_index + 1, ((self.last_index + 1, term),), size_bytes)

    def extend(self, last: int, runs: tuple[tuple[int, int], ...], size_bytes: int = 0) -> None:
        """Take in entries up to `last`, given as runs of terms."""
        assert runs, "no entries"
        assert runs[0][0] == self.last_index + 1, "a gap in the log"
        for first, term in runs:
            assert term >= self.last_term, f"term {term} after {self.last_term} at {first}"
            if not self._terms or term != self._terms[-1]:
                self._firsts.append(first)
                self._terms.append(term)
        self.last_index = last
        self._bytes += size_bytes
        if self._bytes - self._marks[-1][1] >= _MARK_BYTES:
            self._marks.append((last, self._bytes))

    def truncate_to(self, index: int) -> None:
        """Remove the entries above `index`."""
        assert self.before.index <= index <= self.last_index
        self._bytes = self._bytes_at(index)
        self.last_index = index
        while self._firsts and self._firsts[-1] > index:
            self._firsts.pop()
            self._terms.pop()
        while self._marks[-1][0] > index:
            self._marks.pop()

    def compact_to(self, index: int) -> None:
        """Forget the entries up to `index`."""
        term = self.term_at(index)
        if term is None or index <= self.before.index:
            return
        gone = self._bytes_at(index)
        keep = bisect_right(self._firsts, index)
        if keep and (index < self.last_index):
            self._firsts, self._terms = self._firsts[keep - 1 :], self._terms[keep - 1 :]
            self._firsts[0] = max(self._firsts[0], index + 1)
            if len(self._firsts) > 1 and self._firsts[1] == index + 1:
                del self._firsts[0], self._terms[0]
        else:
            self._firsts, self._terms = [], []
        self._marks = [(index, gone)] + [mark for mark in self._marks if mark[0] > index]
        self.before = Position(index, term)

    def runs(self, first: int, last: int) -> tuple[tuple[int, int], ...]:
        """Return the runs of terms from `first` to `last`."""
        if first > last:
            return ()
        assert self.before.index < first
        assert last <= self.last_index
        at = bisect_right(self._firsts, first) - 1
        found = [(first, self._terms[at])]
        for number in range(at + 1, len(self._firsts)):
            if self._firsts[number] > last:
                break
            found.append((self._firsts[number], self._terms[number]))
        return tuple(found)

    def first_difference(self, last: int, runs: tuple[tuple[int, int], ...]) -> int | None:
        """Return the first index up to `last` where this log is not what `runs` say."""
        for number, (first, term) in enumerate(runs):
            end = runs[number + 1][0] - 1 if number + 1 < len(runs) else last
            index = first
            while index <= end:
                if self.term_at(index) != term:
                    return index
                index = min(end, self._run_end(index)) + 1
        return None

    def _run_end(self, index: int) -> int:
        at = bisect_right(self._firsts, index)
        return self._firsts[at] - 1 if at < len(self._firsts) else self.last_index

    def last_within(self, index: int, term: int) -> Position:
        """Return the last position at or before `index` whose term is at most `term`.

        What another log holds at `(index, term)` can match nothing after it: its terms up to
        there are no higher.
        """
        index = min(index, self.last_index)
        while index > self.before.index:
            own = self.term_at(index)
            assert own is not None
            if own <= term:
                return Position(index, own)
            index = self._firsts[bisect_right(self._firsts, index) - 1] - 1
        return self.before

    def is_behind(self, index: int, term: int) -> bool:
        """Tell whether a log that ends there is at least as up-to-date as this one (§5.4.1)."""
        return (term, index) >= (self.last_term, self.last_index)

    # -- sizes -------------------------------------------------------------------------------------

    def bytes_between(self, after: int, last: int) -> int:
        """About how many bytes the entries above `after` up to `last` take."""
        return self._bytes_at(last) - self._bytes_at(after)

    def fit(self, after: int, entries: int, size_bytes: int) -> int:
        """Return the last index so that the entries above `after` keep to both limits; one fits."""
        last = min(self.last_index, after + entries)
        low = after + 1
        if last <= low or self.bytes_between(after, last) <= size_bytes:
            return last
        while low < last:
            middle = (low + last + 1) // 2
            if self.bytes_between(after, middle) <= size_bytes:
                low = middle
            else:
                last = middle - 1
        return low

    def _bytes_at(self, index: int) -> int:
        """Sum the bytes up to an entry, between two marks by proportion."""
        if index >= self.last_index:
            return self._bytes
        at = max(0, bisect_right(self._marks, (index, 1 << 62)) - 1)
        low_index, low = self._marks[at]
        high_index, high = (
            self._marks[at + 1] if at + 1 < len(self._marks) else (self.last_index, self._bytes)
        )
        if high_index == low_index:
            return low
        return low + (high - low) * max(0, index - low_index) // (high_index - low_index)
