"""Runs a text script against the laboratory: a command, a dashed line, the expected trace.

A script is a list of blocks separated by empty lines; a block is one or more commands, a line
`----`, and what they say. Lines with `#` are comments. `PSDB_REWRITE=1` writes what was said back
into the script.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from raft.lab import Lab, Node, parse_config, show, show_config

from psdb_raft.values import HardState, Settings


class Script:
    """One run of a script."""

    def __init__(self) -> None:
        self.lab = Lab()

    def run(self, text: str) -> str:
        """Return the script with what is said now."""
        blocks = [self._block(block) for block in text.strip("\n").split("\n\n")]
        return "\n\n".join(blocks) + "\n"

    def _block(self, block: str) -> str:
        lines = block.split("\n")
        end = lines.index("----") if "----" in lines else len(lines)
        commands = [line for line in lines[:end] if line and not line.startswith("#")]
        if not commands:
            return block
        said: list[str] = []
        for command in commands:
            self.lab.trace = []
            self._do(command)
            said += self.lab.trace
        return "\n".join([*lines[:end], "----", *(said or ["(nothing)"])])

    def _do(self, line: str) -> None:
        name, *words = line.split()
        self.lab.loudness = 1
        if words and words[-1] in {"loud", "mute"}:
            self.lab.loudness = 2 if words.pop() == "loud" else 0
        COMMANDS[name](self, words)

    def node(self, name: str) -> Node:
        return self.lab.nodes[name]

    def say(self, text: str) -> None:
        self.lab.trace.append(text)

    # -- setting up --------------------------------------------------------------------------------

    def group(self, words: list[str]) -> None:
        """`group a b c? [logs=a:1,1,2/b:1] [promises=a:3] [noop=off] [setting=n]`."""
        self.lab = Lab()
        options = dict(word.split("=") for word in words if "=" in word)
        config = parse_config([word for word in words if "=" not in word])
        logs = _by_name(options.pop("logs", ""))
        promises = _by_name(options.pop("promises", ""))
        noop = options.pop("noop", "on") == "on"
        settings = self.settings = Settings(**{
            field.name: int(options.pop(field.name, field.default))  # type: ignore[arg-type]
            for field in fields(Settings)
        })
        assert not options, options
        for member in config.members:
            terms = [int(term) for term in logs.get(member.id, "1").split(",") if term]
            promise = None
            if member.id in promises:
                promise = HardState(int(promises[member.id]))
            node = self.lab.add(member.id, config, terms, settings, promise)
            node.noop = noop
            node.work()
        self.lab.trace = []

    def fresh(self, words: list[str]) -> None:
        """`fresh d`: a member of no group, with an empty log."""
        self.lab.add(words[0], None, [], self.settings).work()

    def seed(self, words: list[str]) -> None:
        self.lab.random.seed(int(words[0]))

    # -- time and messages -------------------------------------------------------------------------

    def tick(self, words: list[str]) -> None:
        """`tick a 10`, `tick all 10`; messages stay on their links."""
        names = list(self.lab.nodes) if words[0] == "all" else [words[0]]
        for _ in range(int(words[1]) if len(words) > 1 else 1):
            for name in names:
                if self.node(name).up:
                    self.node(name).core.tick()
        self.lab.work()

    def live(self, words: list[str]) -> None:
        """`live 50`: ticks for all, and everything is delivered after each."""
        for _ in range(int(words[0])):
            self.tick(["all"])
            self.lab.stabilize()

    def timeout(self, words: list[str]) -> None:
        """`timeout a`: its election timeout is over."""
        core = self.node(words[0]).core
        core.elapsed = core.timeout - 1
        core.tick()
        self.lab.work()

    def stand(self, words: list[str]) -> None:
        """`stand a`: nobody has heard its leader for long, `a` times out first."""
        for node in self.lab.nodes.values():
            if not node.core.is_leader:
                node.core.leader = None
        self.timeout(words)

    def elect(self, words: list[str]) -> None:
        """`elect a`: `a` stands; run to rest."""
        self.stand(words)
        self.lab.stabilize()

    def stabilize(self, words: list[str]) -> None:
        self.lab.stabilize(words or None)

    def deliver(self, words: list[str]) -> None:
        """`deliver a b [n]`: the next messages from a to b (all)."""
        link = self.lab.links.get((words[0], words[1]))
        count = int(words[2]) if len(words) > 2 else len(link or ())
        for _ in range(count):
            assert link, "nothing is under way"
            self.lab.deliver(link.popleft())
            self.lab.work()

    def swap(self, words: list[str]) -> None:
        """`swap a b`: the last message overtakes the others."""
        link = self.lab.links[words[0], words[1]]
        link.appendleft(link.pop())

    def again(self, words: list[str]) -> None:
        """`again a b`: the next message comes twice."""
        link = self.lab.links[words[0], words[1]]
        link.appendleft(link[0])

    def drop(self, words: list[str]) -> None:
        """`drop a b [n]`: lose messages under way; `drop all`."""
        if words == ["all"]:
            self.lab.links.clear()
            return
        link = self.lab.links.get((words[0], words[1]))
        for _ in range(int(words[2]) if len(words) > 2 else len(link or ())):
            assert link
            link.popleft()

    def under_way(self, words: list[str]) -> None:
        """Show what is under way."""
        for link in self.lab.links.values():
            for message in link:
                self.say(show(message))

    def cut(self, words: list[str]) -> None:
        """`cut a b`: both ways; `cut a ->b`: one way; `cut a`: from all."""
        one, *others = words
        for other in others or [name for name in self.lab.nodes if name != one]:
            self.lab.cut[one, other.removeprefix("->")] = True
            if not other.startswith("->"):
                self.lab.cut[other, one] = True

    def heal(self, words: list[str]) -> None:
        self.lab.cut.clear()

    # -- the disk ----------------------------------------------------------------------------------

    def hold(self, words: list[str]) -> None:
        """`hold a`: its disk does nothing until told."""
        self.node(words[0]).auto = False

    def sync(self, words: list[str]) -> None:
        """`sync a [n]`: its disk does its next works (all)."""
        self.node(words[0]).sync(int(words[1]) if len(words) > 1 else None)
        self.lab.work()

    def release(self, words: list[str]) -> None:
        """`release a`: its disk works at once again."""
        self.node(words[0]).auto = True
        self.node(words[0]).sync()
        self.lab.work()

    def crash(self, words: list[str]) -> None:
        self.node(words[0]).crash()

    def restart(self, words: list[str]) -> None:
        for name in words:
            self.node(name).boot()
        self.lab.work()

    def compact(self, words: list[str]) -> None:
        self.node(words[0]).compact(int(words[1]))

    def snapshot(self, words: list[str]) -> None:
        """`snapshot a b [failed]`: carry a snapshot over, or report that it failed."""
        sender = self.node(words[0])
        self.lab.snapshots = [p for p in self.lab.snapshots if p != (words[0], words[1])]
        if words[2:] == ["failed"]:
            sender.core.snapshot_finished(words[1], None)
        else:
            index = sender.core.applied
            self.lab.send_snapshot(words[0], words[1])
            self.deliver([words[0], words[1]])
            sender.core.snapshot_finished(words[1], index)
        self.lab.work()

    # -- a leader's driver -------------------------------------------------------------------------

    def propose(self, words: list[str]) -> None:
        """`propose a [n]`: entries, each sent on its own."""
        for _ in range(int(words[1]) if len(words) > 1 else 1):
            self.node(words[0]).propose("x")
            self.lab.work()

    def batch(self, words: list[str]) -> None:
        """`batch a n`: entries, sent together."""
        for _ in range(int(words[1])):
            self.node(words[0]).propose("x")
        self.lab.work()

    def config(self, words: list[str]) -> None:
        """`config a a b c?`: change the configuration."""
        node = self.node(words[0])
        config = parse_config(words[1:])
        refusal = node.core.check_config(config)
        if refusal is not None:
            self.say(f"refused: {refusal}")
            return
        node.propose("config", config)
        self.lab.work()

    def read(self, words: list[str]) -> None:
        self.node(words[0]).core.read_index(words[1])
        self.lab.work()

    def transfer(self, words: list[str]) -> None:
        refusal = self.node(words[0]).core.transfer(words[1] if len(words) > 1 else None)
        if refusal is not None:
            self.say(f"refused: {refusal}")
        self.lab.work()

    def step_down(self, words: list[str]) -> None:
        self.node(words[0]).core.step_down(int(words[1]) if len(words) > 1 else 0)
        self.lab.work()

    def freeze(self, words: list[str]) -> None:
        self.node(words[0]).core.freeze(int(words[1]))

    def hurry(self, words: list[str]) -> None:
        """`hurry a`: its connection to the leader closed."""
        self.node(words[0]).core.campaign_now()

    def unreachable(self, words: list[str]) -> None:
        self.node(words[0]).core.unreachable(words[1])
        self.lab.work()

    def gone(self, words: list[str]) -> None:
        self.node(words[0]).core.gone(words[1])
        self.lab.work()

    # -- looking -----------------------------------------------------------------------------------

    def status(self, words: list[str]) -> None:
        for name in words or list(self.lab.nodes):
            node, core = self.node(name), self.node(name).core
            if not node.up:
                self.say(f"{name}: down")
                continue
            flags = [
                word for word, on in (
                    ("in office", core.in_office), ("transferring", core.is_transferring),
                    ("frozen", core.frozen),
                ) if on
            ]  # fmt: skip
            self.say(
                f"{name}: {core.role.value} term {core.term} leader {core.leader} "
                f"last {core.log.last_index}@{core.log.last_term} durable {core.durable} "
                f"commit {core.commit}{''.join(f', {flag}' for flag in flags)}"
            )

    def log(self, words: list[str]) -> None:
        for name in words or list(self.lab.nodes):
            image = self.node(name).image
            before = f"({image.base.index}) " if image.base.index else ""
            terms = " ".join(str(entry.term) for entry in image.entries)
            self.say(f"{name}: {before}{terms}")

    def peers(self, words: list[str]) -> None:
        for id_, peer in self.node(words[0]).core.progress.items():
            self.say(
                f"{id_}: {peer.flow.value}{' waiting' if peer.waiting else ''} match {peer.match} "
                f"next {peer.next} window {len(peer.window)}/{peer.window_bytes} "
                f"applied {peer.applied}"
            )

    def members(self, words: list[str]) -> None:
        for name in words:
            core = self.node(name).core
            self.say(f"{name}: {show_config(core.config)} (entry {core.config_index})")

    def state(self, words: list[str]) -> None:
        for name in words or list(self.lab.nodes):
            self.say(f"{name}: {' '.join(self.node(name).state)}")


def _by_name(text: str) -> dict[str, str]:
    pairs = [part.split(":") for part in text.split("/") if part]
    return {name: value for names, value in pairs for name in names.split("+")}


COMMANDS: dict[str, Callable[[Script, list[str]], None]] = {
    name.replace("_", "-"): function
    for name, function in vars(Script).items()
    if not name.startswith("_") and name not in {"run", "node", "say"}
}


def check(path: Path, *, rewrite: bool) -> None:
    """Run a script and compare, or write what was said."""
    text = path.read_text(encoding="utf-8")
    now = Script().run(text)
    if rewrite:
        path.write_text(now, encoding="utf-8")
    assert now == text, f"{path.name} says something else; look at it with PSDB_REWRITE=1"
