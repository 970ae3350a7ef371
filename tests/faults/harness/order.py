"""F4: the order of system calls, which is what decides what a loss of power leaves.

A real process writes in every way while strace listens; what it recorded is parsed. A file is written well if all
goes to a temporary one that is flushed, then renamed, and the folder is flushed before anything that relies on it;
a folder that was made is flushed into the one above before anything in it counts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from harness import ways
from harness.outcomes import Outcome, Skip, fault
from unweave import _durable
from unweave.references import Store, index
from unweave.references import store as store_module

CALLS = (
    "openat,open,creat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat"
)


class Call(NamedTuple):
    """A system call that went well: what it did to which file, and for a renaming what it is called now."""

    what: str
    path: str
    to: str = ""


_LINE = re.compile(r"^\d+ +(?P<name>\w+)\((?P<rest>.*)\) += +(?P<result>\d+)(?:<(?P<opened>[^>]*)>)?")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_HANDLE = re.compile(r"^\d+<([^>]*)>")


def parse(log: str, root: Path) -> list[Call]:
    """The calls on files below a folder; reading does not count."""
    calls: list[Call] = []
    for line in log.splitlines():
        found = _LINE.match(line)
        if found is None:
            if "unfinished" in line or "resumed" in line:
                raise AssertionError(f"several threads at once: {line}")
            continue
        name, rest = found["name"], found["rest"]
        texts, handle = _TEXT.findall(rest), _HANDLE.match(rest)
        if name in ("open", "openat", "creat"):
            writes = name == "creat" or any(flag in rest for flag in ("O_WRONLY", "O_RDWR"))
            calls += [Call("open", texts[0])] if writes else []
        elif name.startswith("rename") or name.startswith("link"):
            calls.append(Call("rename" if name.startswith("rename") else "link", texts[0], texts[1]))
        elif name.startswith("mkdir"):
            calls.append(Call("mkdir", texts[0]))
        elif handle is not None:
            calls.append(Call("fsync" if name in ("fsync", "fdatasync") else "write", handle[1]))
    return [one for one in calls if one.path.startswith(str(root))]


def violations(calls: list[Call], files: list[Path]) -> list[str]:
    """What is wrong with the way in which these files were written, each relying on those before it."""
    wrong: list[str] = []
    settled = -1  # where the file before was durable
    for file in files:
        renamed = [n for n, one in enumerate(calls) if one.what == "rename" and one.to == str(file)]
        wrong += [f"{file.suffix}: opened in place" for one in calls if one == ("open", str(file), "")]
        if len(renamed) != 1:
            wrong.append(f"{file.suffix}: renamed {len(renamed)} times")
            continue
        at, temporary = renamed[0], calls[renamed[0]].path
        written = [n for n, one in enumerate(calls) if one.what == "write" and one.path == temporary]
        flushed = [n for n, one in enumerate(calls) if one.what == "fsync" and one.path == temporary]
        folder = [n for n, one in enumerate(calls) if one.what == "fsync" and one.path == str(file.parent)]
        if not written or max(written) > at:
            wrong.append(f"{file.suffix}: written after it was renamed, or never")
        if not [n for n in flushed if max(written, default=0) < n < at]:
            wrong.append(f"{file.suffix}: not flushed between its last write and its renaming")
        if at < settled:
            wrong.append(f"{file.suffix}: renamed before what it relies on was durable")
        after = [n for n in folder if n > at]
        if not after:
            wrong.append(f"{file.suffix}: its folder was not flushed after the renaming")
        settled = max(settled, min(after, default=len(calls)))
        for above in file.parents:
            made = [n for n, one in enumerate(calls) if one == ("mkdir", str(above), "")]
            kept = [n for n, one in enumerate(calls) if one.what == "fsync" and one.path == str(above.parent)]
            if made and not [n for n in kept if made[0] < n < at]:
                wrong.append(f"{file.suffix}: the folder {above.name} was not durable before it")
    return wrong


def traced(script: str, folder: Path) -> str:
    """What strace records of a Python process with this code, and the harness at hand."""
    if shutil.which("strace") is None:
        raise Skip("no strace")
    log = folder / "trace"
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={CALLS}"]
    harness = Path(__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(harness)!r}); from harness import order; {script}"
    done = subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr or "PTRACE" in done.stderr:
        raise Skip(f"strace may not: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return log.read_text()


# What is written, and what must be there in which order


def write_everything(root: Path) -> None:
    """Write in all ways, each in a folder of its own."""
    Store(root / "objects").check_writable()
    Store(root / "objects").write([ways.entry(0), ways.entry(1)])
    ways.RESULTS.write(root / "results", 0)
    ways.DATA.write(root / "data", 0)


def _expected(root: Path) -> dict[str, list[Path]]:
    store = Store(root / "objects")
    data = list((root / "data" / "data").glob("*.json"))
    return {
        "the format of a store": [store.root / "format"],
        **{f"object {number}": list(store.paths(ways.key(number))) for number in (0, 1)},
        "results": [root / "results" / "result.json"],
        "the record of the data": data or [root / "data" / "data" / "nothing.json"],
    }


@fault("F4", "order of system calls, on every write path", smoke=1, full=5)
def order_of_calls(count: int, folder: Path) -> Outcome:
    total = Outcome()
    for number in range(count):
        root = folder / str(number)
        for name in ("objects", "results", "data"):
            (root / name).mkdir(parents=True)
        calls = parse(traced(f"order.write_everything(order.Path({str(root)!r}))", folder), root)
        for name, files in _expected(root).items():
            total.done += 1
            total.wrong += [f"{name}: {one}" for one in violations(calls, files)]
    total.notes = "write < fsync < rename < fsync of the folder; arrays < sidecar; folders before what is in them"
    return total


def note_use(root: Path) -> None:
    """Write an object and note its use in the index."""
    store = Store(root)
    index.touch(store, [ways.key(0)], now=1.0)
    store.write([ways.entry(1)])
    index.touch(store, [ways.key(1)], now=2.0)
    (root / "told").write_bytes(b"")


@fault("F4", "the index is durable before its writer is told, and objects before the index", smoke=1, full=5)
def order_of_index(count: int, folder: Path) -> Outcome:
    total = Outcome()
    for number in range(count):
        root = folder / str(number)
        Store(root).check_writable()
        Store(root).write([ways.entry(0)])
        calls = parse(traced(f"order.note_use(order.Path({str(root)!r}))", folder), root)
        total.done += 1
        journal = str(root / f"{index.NAME}-wal")
        at = [n for n, one in enumerate(calls) if one.what == "write" and one.path.startswith(journal[:-4])]
        synced = [n for n, one in enumerate(calls) if one.what == "fsync" and one.path in (journal, journal[:-4])]
        told = next(n for n, one in enumerate(calls) if one.path == str(root / "told"))
        if not at or not [n for n in synced if max(at) < n < told]:
            total.wrong.append("the index was not flushed after the last write to it")
        sidecar = next(n for n, one in enumerate(calls) if one.to == str(Store(root).paths(ways.key(1))[1]))
        if not [n for n in at if n > sidecar]:
            total.wrong.append("the index was not written after the object")
        total.wrong += violations(calls, list(Store(root).paths(ways.key(1))))
    return total


# Writers that are wrong on purpose


def unflushed(path: Path, content: bytes) -> None:
    """A temporary file and a rename, but nothing is flushed."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def flushed_late(path: Path, content: bytes) -> None:
    """Flushed after the renaming."""
    unflushed(path, content)
    _durable.flush_folder(path)
    _durable.flush_folder(path.parent)


def folder_forgotten(path: Path, content: bytes) -> None:
    """All but the folder."""
    durable, _durable.flush_folder = _durable.flush_folder, lambda folder: None
    try:
        _durable.write_durably(path, content)
    finally:
        _durable.flush_folder = durable


class Wrong(NamedTuple):
    """A writer that is wrong, what the check must say of it, and how it makes folders."""

    write: Callable[[Path, bytes], None]
    said: str
    make_folder: Callable[[Path], None] = _durable.make_folder


WRONG = {
    "in place": Wrong(ways.in_place, "opened in place"),
    "unflushed": Wrong(unflushed, "not flushed between its last write and its renaming"),
    "flushed late": Wrong(flushed_late, "not flushed between its last write and its renaming"),
    "folder forgotten": Wrong(folder_forgotten, "its folder was not flushed after the renaming"),
    "new folder forgotten": Wrong(
        _durable.write_durably, "was not durable before it", lambda folder: folder.mkdir(parents=True)
    ),
    "sidecar first": Wrong(
        ways.SidecarFirst(_durable.write_durably), "renamed before what it relies on was durable"
    ),
}


def write_wrongly(root: Path) -> None:
    """Write an object in every wrong way, each in a store of its own."""
    for name, wrong in WRONG.items():
        store_module.write_durably, store_module.make_folder = wrong.write, wrong.make_folder
        Store(root / name).write([ways.entry(0)])


@fault("F4", "the same check of six writers that are wrong", smoke=1, full=1, control=True)
def order_of_wrong_writers(count: int, folder: Path) -> Outcome:
    root = folder / "wrong"
    root.mkdir()
    calls = parse(traced(f"order.write_wrongly(order.Path({str(root)!r}))", folder), root)
    total = Outcome(done=len(WRONG))
    for name, wrong in WRONG.items():
        found = violations(calls, list(Store(root / name).paths(ways.key(0))))
        if not any(wrong.said in one for one in found):
            raise AssertionError(f"a writer that is wrong passes: {name}: {found}")
        total.wrong.append(f"{name}: {found[0]}")
    total.notes = f"{len(total.wrong)} of {len(WRONG)} caught"
    return total
