"""Run by test_erase_killed.py as a process of its own: kill a request at every call that writes, in turn.

Prints a line of JSON for each kill: which call it was, what was left, and whether the next request worked.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from tests.study.erasing import SCRUB, digests, erase, ids_of, tiny

from unweave.problem import ForgetChoice
from unweave.records import from_json
from unweave.records.erasure import Erasure

WRITES = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")


def kill_at(number: int, out: Path) -> None:
    """Kill this process at its so-and-so-manieth call on a file below a folder."""
    seen = 0

    def hook(event: str, given: tuple) -> None:
        nonlocal seen
        if event not in WRITES or not given or not str(given[0]).startswith(str(out)):
            return
        if event == "open" and not (isinstance(given[2], int) and given[2] & os.O_WRONLY):
            return
        seen += 1
        if seen == number:
            os.write(1, f"{event} {Path(str(given[0])).relative_to(out)}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def asking(folder: Path, second: bool):
    return tiny(folder, forget=ForgetChoice(ids=ids_of(2, 3) if second else ids_of(3)))


def complete(out: Path) -> list[str]:
    """Numbers of the requests that are whole; anything by a number that is not whole is an error."""
    found = []
    for one in sorted(out.glob("[0-9]*")):
        record = from_json(Erasure, (one / "record.json").read_text())
        content = (out / record.model_after["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == record.model_after["sha256"]
        assert (one / "request.toml").read_text().endswith("\n")
        found.append(one.name)
    return found


def main(folder: Path) -> None:
    """Kill at the first call, the second, …, until there are no more; the second request of a folder."""
    for number in range(1, 100):
        out = folder / f"out{number}"
        erase(asking(folder, False), out)
        before = digests(out)
        child = os.fork()
        if child == 0:
            kill_at(number, out)
            erase(asking(folder, True), out, method=SCRUB)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        kept = digests(out)
        whole = complete(out)
        assert all(kept[name] == one for name, one in before.items() if name != "requests.jsonl")
        after = erase(tiny(folder, forget=ForgetChoice(ids=ids_of(2, 3 if len(whole) == 1 else 5))), out)
        log = [json.loads(line)["number"] for line in (out / "requests.jsonl").read_text().splitlines()]
        print(json.dumps({"killed": killed, "whole": whole, "next": after.number, "log": log}), flush=True)
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
