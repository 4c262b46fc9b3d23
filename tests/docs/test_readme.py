"""The README's commands, typed as written against running servers; outputs where shown."""

from __future__ import annotations

import contextlib
import doctest
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from servers import Server

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT = ROOT / "examples/load_real_data.py"
MONGOSH = ROOT / "node_modules/.bin/mongosh"
COUNTRIES = ROOT / "node_modules/world-countries/countries.json"
PROMPT = "[direct: mongos] world> "
DEFAULT_PORT = "27017"

needs_countries = pytest.mark.skipif(
    not COUNTRIES.exists(), reason="the npm package world-countries is not there"
)


def blocks(language: str, heading: str) -> list[str]:
    """Return the code blocks of a section."""
    section = README.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def run_python(block: str, ports: dict[str, int], names: dict[str, object]) -> None:
    """Run a block as typed at Python's prompt; fail where it shows something else."""
    for written, real in ports.items():
        block = block.replace(f"127.0.0.1:{written}", f"127.0.0.1:{real}")
    test = doctest.DocTestParser().get_doctest(block, names, "README.md", "README.md", 0)
    assert test.examples
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    assert not report, "".join(report)


def test_the_loader_is_named() -> None:
    loading, = [block for block in blocks("sh", "First session: pymongo") if "python" in block]
    assert f".venv/bin/python {SCRIPT.relative_to(ROOT)}" in loading.splitlines()


@needs_countries
def test_the_python_session(world: Server) -> None:
    names: dict[str, object] = {}
    with contextlib.closing(_Closing(names)):
        for block in blocks("python", "First session: pymongo"):
            run_python(block, {DEFAULT_PORT: world.port}, names)


class _Closing:
    """Closes the clients that a session left open."""

    def __init__(self, names: dict[str, object]) -> None:
        self.names = names

    def close(self) -> None:
        for value in list(self.names.values()):
            client = getattr(value, "client", value)
            if type(client).__name__ == "MongoClient":
                client.close()  # type: ignore[attr-defined]


@pytest.mark.skipif(not MONGOSH.exists(), reason="mongosh is not there: run tests/tools.sh")
@needs_countries
def test_the_mongosh_session(world: Server) -> None:
    session, = blocks("js", "First session: mongosh")
    typed = [line.removeprefix(PROMPT) for line in session.splitlines() if PROMPT in line]
    shown = [part.partition("\n")[2].strip() for part in session.split(PROMPT)[1:]]
    uri = f"mongodb://127.0.0.1:{world.port}/world"
    done = subprocess.run(
        [str(MONGOSH), uri, "--norc", "--quiet"], input="\n".join(typed) + "\n",
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [part.strip() for part in done.stdout.split(PROMPT.strip())[1:]]
    assert answers[:len(shown)] == shown


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not there")
@needs_countries
def test_the_files(world: Server) -> None:
    """Runs last: it stops the server, so that the data files are complete."""
    world.stop()
    session, = blocks("console", "The data are text")
    steps = [step.partition("\n") for step in session.split("$ ")[1:]]
    assert len(steps) > 3
    for command, _, shown in steps:
        if '"u"' in command and not MONGOSH.exists():
            continue
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False,
            cwd=world.dbpath.parent,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == shown, command


@pytest.mark.slow
def test_the_cluster_of_processes(tmp_path: Path) -> None:
    commands, = blocks("sh", "Roles, and a cluster of processes")
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        for line in commands.splitlines():
            _program, role, *flags = line.split()
            port = flags.pop(flags.index("--port") + 1)
            flags.remove("--port")
            for written, real in ports.items():
                flags = [flag.replace(f":{written}", f":{real}") for flag in flags]
            folder = tmp_path / port
            if "--dbpath" in flags:
                flags[flags.index("--dbpath") + 1] = str(folder)
            server = stack.enter_context(Server([role, *flags], folder))
            ports[port] = server.port
        names: dict[str, object] = {}
        stack.callback(_Closing(names).close)
        for block in blocks("python", "Roles, and a cluster of processes"):
            run_python(block, ports, names)


def test_the_two_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    names = re.findall(r"^make (\w+)$|`make (\w+)`", README, re.MULTILINE)
    assert len(names) > 4
    for first, second in names:
        assert re.search(rf"^{first or second}:", makefile, re.MULTILINE), first or second


def anchors(text: str) -> set[str]:
    """Return the names that a page's headings can be linked by."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_links_lead_somewhere() -> None:
    wrong = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            other = page.parent / path if path else page
            if not other.exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
            elif anchor and anchor not in anchors(other.read_text(encoding="utf-8")):
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert not wrong, "\n".join(wrong)


def test_every_top_folder_is_named() -> None:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    folders = {name.split("/")[0] for name in done.stdout.splitlines() if "/" in name}
    for folder in sorted(name for name in folders if not name.startswith(".")):
        assert f"`{folder}/`" in README, folder
