"""Models from files of other programs: tensors are read, code never; names are matched, or the file is refused."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unweave._errors import SpecError
from unweave.learners.contract import Learner, State
from unweave.learners.modules import tensor_names

INSIDE = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Keys under which files of other programs keep the tensors of a model, in the order they are looked for."""

_SHOWN = 3
_GLOBAL = re.compile(r"GLOBAL ([\w.]{1,80})")
_ZIP = b"PK\x03\x04"
_DEEPEST = 32
_LARGEST_HEADER = 100 * 2**20


class FeaturesError(SpecError):
    """A file has a tensor of another shape than a table asks for: of another architecture, or of other features.

    Attributes:
        shapes: A sentence on the shapes.
        listed: A sentence on the features of the table.
    """

    def __init__(self, shapes: str, listed: str) -> None:
        super().__init__(
            f"{shapes} The file and the architecture have to be those of one model. {listed} They follow from the "
            "rows that are there: without the only one that had a text, or split anew, they are others."
        )
        self.shapes, self.listed = shapes, listed


class Checkpoint(NamedTuple):
    """A model from a file.

    Attributes:
        state: The model.
        sha256: Of the bytes of the file.
        names: Name in the learner → name in the file, of each tensor that the file has.
        dtypes: Name in the file → its dtype there.
        others: Second name → first name, of tensors that stand there twice, as tied weights do.
        notes: What a reader should know, in sentences.
        header: Texts beside the tensors, of a safetensors file.
    """

    state: State
    sha256: str
    names: dict[str, str]
    dtypes: dict[str, torch.dtype]
    others: dict[str, str]
    notes: tuple[str, ...]
    header: Mapping[str, str] = {}  # noqa: RUF012 - a NamedTuple's default, never written to


def read_checkpoint(file: Path, learner: Learner, like: State) -> Checkpoint:
    """The model that a file holds, for a learner; nothing of the file is run.

    `.safetensors`, or what `torch.save` wrote of tensors (`weights_only=True`, so that a file with anything else
    in it is refused). Tensors may stand at the top or under one of `INSIDE`; prefixes that all names share, such
    as `module.`, are taken off. Every name and shape must fit; buffers that a file lacks keep the value of `like`.

    Args:
        file: The file.
        learner: The architecture.
        like: A model of it, from `learner.start`, whose names, shapes and dtypes are expected.

    Raises:
        SpecError: if the file cannot be read, holds no tensors, does not fit the learner, or is not finite.
    """
    tensors, header = _tensors(file)
    wanted, second = tensor_names(learner, like)
    found, prefix = _without_prefix(tensors, set(wanted.values()) | set(second))
    for other, first in second.items():  # a file may have kept either name
        if other in found and first not in found:
            found[first] = found[other]
    expected = {**like.params, **like.buffers}
    missing = [theirs for ours, theirs in wanted.items() if theirs not in found and ours in like.params]
    known = set(wanted.values()) | set(second)
    unexpected = [name for name in found if name not in known]
    if missing or unexpected:
        raise SpecError(_misfit(file, learner, missing, unexpected, prefix))
    params, buffers = dict(like.params), dict(like.buffers)
    notes: list[str] = []
    for ours, theirs in wanted.items():
        if theirs not in found:
            notes.append(f"{file.name} has no `{theirs}`; it is what it is in an untrained {learner.spec.label}.")
            continue
        value = _fitted(file, prefix + theirs, found[theirs], expected[ours], learner)
        (params if ours in params else buffers)[ours] = value
    for other, first in second.items():
        if other in found and not torch.equal(found[other], found[first]):
            raise SpecError(
                f"{file}: `{prefix}{other}` and `{prefix}{first}` are one tensor of {learner.spec.label}, and "
                "differ in the file."
            )
    widened = sorted({str(v.dtype)[6:] for v in found.values() if v.is_floating_point()} - {"float32"})
    if widened:
        notes.append(f"{file.name} holds {', '.join(widened)}; here it is used as float32.")
    return Checkpoint(
        State(params, buffers),
        sha256_of(file),
        {ours: prefix + theirs for ours, theirs in wanted.items() if theirs in found},
        {prefix + name: value.dtype for name, value in found.items()},
        {prefix + other: prefix + first for other, first in second.items() if other in found},
        tuple(notes),
        header,
    )


def to_safetensors(state: State, like: Checkpoint, about: str, header: Mapping[str, str] | None = None) -> bytes:
    """A model as the content of a safetensors file, with the names and dtypes of the file that it came from.

    Args:
        state: The model.
        like: The checkpoint that it was made of.
        about: Text for the header, under the key `unweave`.
        header: Further texts for it, by key.
    """
    from safetensors.torch import save

    own = {**state.params, **state.buffers}
    tensors = {theirs: own[ours].detach().cpu().to(like.dtypes[theirs]) for ours, theirs in like.names.items()}
    tensors |= {other: tensors[first].clone() for other, first in like.others.items()}
    texts = {**(header or {}), "unweave": about}
    return _ordered(save({name: value.contiguous() for name, value in sorted(tensors.items())}, texts))


def _ordered(content: bytes) -> bytes:
    """The same file with the texts of its header in the order of their keys; the library writes them in any."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + content[end:]


def sha256_of(file: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        if file.is_dir():
            raise SpecError(f"`{file}` is a folder; expected a file of tensors, such as model.safetensors.")
        with file.open("rb") as content:
            begin = content.read(16)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid name of a file"
        raise SpecError(f"Cannot read the checkpoint {file}: {reason}.") from None
    if not begin:
        raise SpecError(f"The checkpoint {file} is empty.")
    if begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") <= _LARGEST_HEADER:
        return _of_safetensors(file)
    return _of_torch(file, zipped=begin[:4] == _ZIP), {}


def _of_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as content:  # pyright: ignore[reportPrivateImportUsage]
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
            return tensors, content.metadata() or {}
    except (SafetensorError, ValueError, OSError) as error:
        raise SpecError(f"{file} is no whole safetensors file: {_first(error)}.") from None


def _of_torch(file: Path, *, zipped: bool) -> dict[str, Tensor]:
    refused = f"{file} is no file of tensors that can be read without running code"
    if zipped:
        _check_zip(file, refused)
    try:
        with (
            warnings.catch_warnings()
        ):  # of how tensors were stored, as quantized ones; what is wrong is said below
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is in a file of unknown origin
        raise SpecError(
            f"{refused} ({_held(error)}). Save `model.state_dict()` with safetensors, or with torch.save, and "
            "nothing else beside it."
        ) from None
    found = _dictionary(content, file)
    return {str(name): value for name, value in found.items() if isinstance(value, Tensor)}


def _check_zip(file: Path, refused: str) -> None:
    """Refuse what would be larger unpacked than the file: torch packs nothing, so a packed part is no model's."""
    try:
        with zipfile.ZipFile(file) as content:
            packed = any(part.compress_type != zipfile.ZIP_STORED for part in content.infolist())
            total = sum(part.file_size for part in content.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SpecError(f"{refused} ({_first(error)}).") from None
    if packed or total > 2 * file.stat().st_size:
        raise SpecError(f"{refused}: it is packed, or larger unpacked than it is, which torch never writes.")


def _dictionary(content: Any, file: Path) -> Mapping[Any, Any]:
    for _ in range(_DEEPEST):
        if isinstance(content, Mapping) and any(isinstance(value, Tensor) for value in content.values()):
            return content
        inside = [key for key in INSIDE if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)]
        if not inside:
            break
        content = content[inside[0]]
    held = (
        f"the keys {', '.join(map(repr, list(content)[:5]))}" if isinstance(content, Mapping) else "no dictionary"
    )
    raise SpecError(f"{file} holds {held}, and no tensors there or under {', '.join(INSIDE)}.")


def _without_prefix(tensors: dict[str, Tensor], wanted: set[str]) -> tuple[dict[str, Tensor], str]:
    """The tensors by names that fit, and the prefix that was taken off: what all names share, part by part."""
    prefix = ""
    while tensors and not wanted & {name[len(prefix) :] for name in tensors}:
        heads = {name[len(prefix) :].partition(".") for name in tensors}
        first = next(iter(heads))[0]
        if any(not dot or head != first for head, dot, _ in heads):
            return tensors, ""
        prefix += f"{first}."
    return {name[len(prefix) :]: value for name, value in tensors.items()}, prefix


def _misfit(file: Path, learner: Learner, missing: list[str], unexpected: list[str], prefix: str) -> str:
    said = f"{file} does not fit {learner.spec.label}"
    if prefix:
        said += f" (the prefix `{prefix}` was taken off)"
    if missing:
        said += f"; it lacks {_some(missing)}"
    if unexpected:
        said += f"; of {_some(unexpected)} the learner knows nothing"
    return said + ". The file and the architecture of `learner` have to be those of one model."


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more


def _fitted(file: Path, name: str, value: Tensor, expected: Tensor, learner: Learner) -> Tensor:
    if value.shape != expected.shape:
        said = (
            f"{file}: `{name}` has the shape {list(value.shape)}; the learner of the spec expects "
            f"{list(expected.shape)}."
        )
        features = learner.spec.shape[0]
        sizes = zip(value.shape, expected.shape, strict=False)
        if learner.spec.encoding is not None and any(one != other == features for one, other in sizes):
            raise FeaturesError(
                said, f"The table has {features} features here: `unweave cases SPEC.toml --features` lists them."
            )
        raise SpecError(f"{said} The file and the architecture have to be those of one model.")
    if value.is_quantized or value.is_complex() or value.is_floating_point() != expected.is_floating_point():
        raise SpecError(f"{file}: `{name}` holds {str(value.dtype)[6:]}; expected {str(expected.dtype)[6:]}.")
    if not value.isfinite().all():
        bad = int((~value.isfinite()).sum())
        raise SpecError(
            f"{file}: {bad} of {value.numel()} numbers of `{name}` are not finite; the model is broken."
        )
    return value.to(expected.dtype).clone()


def _held(error: BaseException) -> str:
    """Why torch refuses a file, in other words than its own, which advise to run the code that is in it."""
    if not isinstance(error, UnpicklingError):
        return _first(error)
    named = _GLOBAL.search(str(error))
    return f"it holds an object of {named[1]}, not tensors alone" if named else "torch did not write it"


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".: ")
