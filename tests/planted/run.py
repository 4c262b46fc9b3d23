"""Plant a fault in a process of its own and look for it.

    PYTHONPATH=tests:. python -m planted.run "no pre-vote"
    PYTHONPATH=tests:. python -m planted.run --all

Says who noticed what; ends with 1 when nobody did.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from planted.hook import ROOT, plant
from planted.table import FAULTS, Fault

STORMS_MAX = 400
SIM_SEEDS_MAX = 40


def by_scripts(fault: Fault) -> str:
    """Run the fault's script."""
    if not fault.script:
        return ""
    from raft.scripting import check

    try:
        check(Path(__file__).parents[1] / "raft/scripts" / f"{fault.script}.txt", rewrite=False)
    except AssertionError as error:
        return f"{fault.script}.txt: {type(error).__name__}"
    return ""


def by_storm(fault: Fault) -> str:
    """Run storms until one breaks."""
    from raft.storm import Storm

    for seed in range(STORMS_MAX):
        try:
            Storm(seed).run()
        except (AssertionError, KeyError, IndexError) as error:
            return f"storm {seed}: {type(error).__name__} {str(error)[:80]}"
    return ""


def by_sim(fault: Fault) -> str:
    """Run simulated replica sets until one breaks."""
    from sim.replica_scenario import run_seed

    for seed in range(SIM_SEEDS_MAX):
        try:
            run_seed(seed)
        except Exception as error:
            return f"simulation {seed}: {type(error).__name__} {str(error)[:80]}"
    return ""


FINDERS = {"scripts": by_scripts, "sim": by_sim, "storm": by_storm}


def find(name: str) -> int:
    """Look for one fault here."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    plant(fault.patches)
    for finder in fault.finders:
        found = FINDERS[finder](fault)
        if found:
            print(f"{name}: {found}", flush=True)
            return 0
    print(f"{name}: NOBODY NOTICED", flush=True)
    return 1


def find_apart(name: str, seconds: float = 900.0) -> tuple[int, str]:
    """Look for one fault in another process."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}/tests:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "planted.run", name], capture_output=True, text=True, env=env,
        cwd=ROOT, timeout=seconds, check=False,
    )
    return done.returncode, done.stdout.strip() or done.stderr.strip()[-400:]


def main(arguments: list[str]) -> int:
    """Run what the command line asks for."""
    if arguments != ["--all"]:
        return find(arguments[0])
    missed = 0
    for fault in FAULTS:
        code, text = find_apart(fault.name)
        print(text, flush=True)
        missed += bool(code)
    print(f"{len(FAULTS)} faults, {missed} not noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
