"""What an audit is given beside the original: the edited model or its outputs, and models retrained without S."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError, SpecError
from unweave.study.assemble import Assembly
from unweave.study.given import GivenModel, given_model

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
"""What is read of a folder of models."""

OUTPUTS = ("train_ids", "train", "test_ids", "test")
"""Arrays of a file of outputs."""


class GivenOutputs(NamedTuple):
    """What a classifier says of the probes of a case, from a file.

    Attributes:
        logits: On all probes [1, n, classes]; 0 where the file cannot know them.
        sha256: Of the file.
        unanswered: Groups of probes that are no examples of the data, so that no file of outputs has them.
    """

    logits: NDArray[np.float32]
    sha256: str
    unanswered: tuple[str, ...]


def given_retrained(
    assembly: Assembly, files: Sequence[Path], original: GivenModel, edited: GivenModel
) -> tuple[GivenModel, ...]:
    """Models that the user retrained without S: those of files, and of the files of folders.

    Raises:
        SpecError: if one cannot be read, or is the original, the edited model or another of them once more.
    """
    known: list[tuple[str, GivenModel]] = [("the original", original), ("the edited model", edited)]
    for file in _files(files):
        one = given_model(assembly, file)
        for name, other in known:
            if _same(one, other):
                raise SpecError(
                    f"--retrained {file} is {name} once more. Each reference has to be a model of its own, "
                    "trained without S with a seed of its own; take it out."
                )
        known.append((f"`{file}`", one))
    return tuple(one for _, one in known[2:])


def _files(given: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for one in given:
        inside = sorted(path for path in one.iterdir() if path.suffix in SUFFIXES) if one.is_dir() else [one]
        if not inside:
            raise SpecError(f"--retrained {one} holds no model ({', '.join(SUFFIXES)}).")
        found += inside
    return found


def _same(one: GivenModel, other: GivenModel) -> bool:
    """Whether two files hold one model, if need be in other words."""
    if one.checkpoint.sha256 == other.checkpoint.sha256:
        return True
    a, b = one.checkpoint.state.params, other.checkpoint.state.params
    return all(bool((value == b[name]).all()) for name, value in a.items())


def given_outputs(assembly: Assembly, file: Path) -> GivenOutputs:
    """Outputs of a classifier of which nothing else is known: an .npz with ids and log-probabilities.

    Raises:
        SpecError: if the file cannot be read, lacks arrays or examples that are asked, or is not finite.
    """
    from unweave.learners.checkpoints import sha256_of

    data, probes = assembly.data, assembly.probes
    held = _arrays(file)
    for part in ("train", "test"):
        if held[part].ndim != 2 or held[part].shape != (len(held[f"{part}_ids"]), data.classes):
            raise SpecError(
                f"{file}: `{part}` has the shape {list(held[part].shape)}; expected one row for each of its "
                f"{len(held[f'{part}_ids'])} ids and {data.classes} classes."
            )
    found = np.zeros((1, len(probes.x), data.classes), np.float32)
    unanswered: list[str] = []
    for name, where in probes.groups.items():
        rows, part = probes.rows[where], "test" if name in ("test", "unseen") else "train"
        source = data.test if part == "test" else None
        if name == "unseen" and not _of_test(assembly, where):
            unanswered.append(name)
            continue
        ids = assembly.setting.ids[rows] if source is None else source.ids[rows]
        found[0, where] = _of_ids(file, held, part, ids.tolist())
    return GivenOutputs(found, sha256_of(file), tuple(unanswered))


def _of_test(assembly: Assembly, where: NDArray[np.int64]) -> bool:
    """Whether unseen instances are test examples as they are, so that they can be looked up."""
    unseen, probes = assembly.planted.unseen, assembly.probes
    test = assembly.data.test
    if unseen is None or unseen.rows is None or probes.rows[where].max() >= len(test):
        return False
    return bool(np.array_equal(probes.x[where], test.x[probes.rows[where]]))


def _arrays(file: Path) -> dict[str, NDArray[np.generic]]:
    wanted = f"expected outputs of the edited model as .npz with the arrays {', '.join(OUTPUTS)}"
    try:
        with np.load(file, allow_pickle=False) as content:
            if not set(OUTPUTS) <= set(content.files):
                raise SpecError(f"{file} holds {', '.join(content.files) or 'nothing'}; {wanted}.")
            found = {name: content[name] for name in OUTPUTS}
    except OSError as error:
        raise SpecError(f"Cannot read {file}: {error.strerror or 'no outputs'}; {wanted}.") from None
    except (ValueError, zipfile.BadZipFile, EOFError, AttributeError, TypeError):
        # One array is no archive, and what would have to be unpickled numpy refuses.
        raise SpecError(f"{file} cannot be read without running code, or is not whole; {wanted}.") from None
    for part in ("train", "test"):
        if found[part].dtype.kind != "f" or not np.isfinite(found[part]).all():
            raise SpecError(
                f"{file}: `{part}` is not all finite numbers. It holds log-probabilities; clip probabilities of 0."
            )
    return found


def _of_ids(
    file: Path, held: dict[str, NDArray[np.generic]], part: str, ids: Sequence[int | str]
) -> NDArray[np.generic]:
    """Rows of the outputs, by id."""
    known = {str(one): place for place, one in enumerate(held[f"{part}_ids"].tolist())}
    lacks = [one for one in ids if str(one) not in known]
    if lacks:
        raise SpecError(
            f"{file} has no outputs for {len(lacks)} of the {len(ids)} examples that are asked of `{part}`, such "
            f"as the id {lacks[0]!r}. Give outputs for all of D and all of the test data."
        )
    return held[part][[known[str(one)] for one in ids]]


def without_groups(assembly: Assembly, names: Sequence[str]) -> Assembly:
    """The case without some groups of probes."""
    groups = {name: where for name, where in assembly.probes.groups.items() if name not in names}
    return assembly._replace(probes=replace(assembly.probes, groups=groups))


def check_edited(assembly: Assembly, edited: Path, retrained: Sequence[Path]) -> None:
    """Refuse what does not go together with the learner.

    Raises:
        ApplicabilityError: for outputs of a net, or a model of a learner of which only outputs are known.
    """
    learner = assembly.setting.learner
    if learner.opaque and assembly.case.learner.checkpoint is not None:
        raise ApplicabilityError(
            f"{learner.label} is a learner of which only outputs are known: its models are never read from files, "
            "which would run their code. Leave `learner.checkpoint` out; the original is fitted here, on D."
        )
    if learner.opaque and edited.suffix != ".npz":
        raise ApplicabilityError(
            f"{learner.label} is a learner of which only outputs are known: --edited takes what the edited "
            f"classifier says, as .npz with the arrays {', '.join(OUTPUTS)}; `unweave erase` writes such a file."
        )
    if learner.opaque and retrained:
        raise ApplicabilityError(f"--retrained takes models, and {learner.label} has none that can be read.")
    if not learner.opaque and edited.suffix == ".npz":
        raise ApplicabilityError(
            f"--edited {edited} is a file of outputs; {learner.label} has models: give the edited one as "
            ".safetensors, or what torch.save wrote of a state_dict."
        )
