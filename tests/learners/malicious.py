"""Sixty files that would run code, or fill memory, if they were read as a model by `pickle`."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


class _Calls:
    """Pickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def _calls(canary: Path) -> Iterator[tuple[str, Any]]:
    text = str(canary)
    yield "system", _Calls(os.system, f"touch {text}")
    yield "popen", _Calls(os.popen, f"touch {text}")
    yield "open", _Calls(open, text, "w")
    yield "eval", _Calls(eval, f"open({text!r}, 'w')")
    yield "exec", _Calls(exec, f"open({text!r}, 'w')")
    yield "mkdir", _Calls(os.mkdir, text)
    yield "write_text", _Calls(Path.write_text, canary, "x")
    yield "loads", _Calls(pickle.loads, pickle.dumps(_Calls(open, text, "w")))
    yield "torch.load", _Calls(torch.load, text)
    yield "getattr", _Calls(getattr, _Calls(__import__, "os"), "system")


def _by_hand(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Opcodes that no pickler writes: other protocols, names built on the stack, calls hidden behind a tensor."""
    command = f"touch {canary}".encode()
    yield "protocol 0", b"cos\nsystem\n(S'" + command + b"'\ntR."
    yield "posix", b"cposix\nsystem\n(S'" + command + b"'\ntR."
    yield "inst", b"(S'" + command + b"'\nios\nsystem\n."
    yield "obj", b"(cos\nsystem\nS'" + command + b"'\no."
    yield "builtins", b"cbuiltins\neval\n(S'open(" + repr(str(canary)).replace("'", '"').encode() + b',"w")\'\ntR.'
    yield (
        "stack global",
        (
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(command)]) + command + b"\x85R."
            if len(command) < 256
            else b"\x80\x04."
        ),
    )
    yield "torch name", b"\x80\x02ctorch\nload\n(S'" + str(canary).encode() + b"'\ntR."
    yield "hub", b"\x80\x02ctorch.hub\nload\n(S'x'\nS'y'\ntR."
    yield "bomb of lists", b"\x80\x02" + b"(" * 100_000 + b"."
    yield "memo bomb", b"\x80\x02]q\x00" + b"h\x00" * 200_000 + b"."


def malicious_files(folder: Path, canary: Path) -> list[Path]:
    """Write the files; none of them may be read, and `canary` must not come to be."""
    found: list[Path] = []

    def add(name: str, content: bytes) -> None:
        file = folder / f"{len(found):02d}-{name.replace(' ', '_')}"
        file.write_bytes(content)
        found.append(file)

    def zipped(data: bytes, *, name: str = "archive/data.pkl", more: dict[str, bytes] | None = None) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, data)
            archive.writestr("archive/version", "3\n")
            for key, value in (more or {}).items():
                archive.writestr(key, value)
        return out.getvalue()

    for name, call in _calls(canary):
        add(f"{name}.pkl", pickle.dumps(call))
        add(f"{name}.zip.pt", zipped(pickle.dumps({"state_dict": call}, protocol=2)))
        out = io.BytesIO()
        torch.save({"weight": torch.zeros(2), "extra": call}, out)
        add(f"{name}.torch.pt", out.getvalue())
    for name, content in _by_hand(canary):
        add(f"{name}.pkl", content)
        add(f"{name}.zip.pt", zipped(content))
    out = io.BytesIO()
    calling = {"weight": torch.zeros(2), "extra": _Calls(open, str(canary), "w")}
    torch.save(calling, out, _use_new_zipfile_serialization=False)
    add("legacy.pt", out.getvalue())
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(_Calls(open, str(canary), "w"))
            part = tarfile.TarInfo(name)
            part.size = len(content)
            archive.addfile(part, io.BytesIO(content))
    add("tar.pt", out.getvalue())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (50 << 20))
    add("packed.pt", packed.getvalue())
    add("slip.pt", zipped(pickle.dumps(_Calls(open, str(canary), "w")), more={f"../{canary.name}": b"x"}))
    shape = {"w": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}
    head = json.dumps(shape).encode()
    add("huge_shape.safetensors", struct.pack("<Q", len(head)) + head + b"\0" * 4)
    add("huge_header.safetensors", struct.pack("<Q", 2**62) + b"{" + b" " * 100)
    add("deep.safetensors", struct.pack("<Q", 100_001) + b"{" + b"[" * 100_000)
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 4]}}).encode()
    add("negative.safetensors", struct.pack("<Q", len(head)) + head + b"\0" * 4)
    add("numpy.npy", b"\x93NUMPY\x01\x00" + pickle.dumps(_Calls(open, str(canary), "w")))
    add("joblib.pkl", pickle.dumps({"model": [_Calls(open, str(canary), "w")]}, protocol=5))
    return found
