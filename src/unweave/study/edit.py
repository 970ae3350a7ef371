"""The edit that a request asks for, and the record of it."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave import __version__
from unweave._errors import DivergedError, UserError
from unweave._random import derive
from unweave.data import Examples, fingerprint
from unweave.records.erasure import ERASURE_SCHEMA, Accuracy, Erasure
from unweave.study.assemble import Assembly
from unweave.study.chosen_learner import about_recipe
from unweave.study.copies import copies_of_forget
from unweave.study.deleting import still_to_delete
from unweave.study.edit_prepared import RETRAIN, Prepared, retained
from unweave.study.edit_words import warnings_of
from unweave.study.found_alone import about_found, price_alone
from unweave.study.given import GivenModel, accuracies, keeps_scales, outputs_of
from unweave.study.id_files import paths_from
from unweave.study.request import content_digest
from unweave.study.request_log import NET, PICKLE
from unweave.study.running import Progress
from unweave.study.spec import case_to_tree
from unweave.study.units import UNITS, units_text

if TYPE_CHECKING:
    from unweave.learners.contract import State
    from unweave.learners.opaque import Fitted

OUTPUTS = "outputs.npz"
_FITTED = "The model before is not read from a file: its accuracy is that of one fitted here on all of D."
_SHOWN = 1000  # examples of D∖S, for its accuracy
_LISTED = 1000  # copies that stay behind

Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Made(NamedTuple):
    """An edited model.

    Attributes:
        name: Of the file.
        content: Of the file.
        before, after: Logits of the model as it was and as it is, on features.
        params: All parameters of the method.
        gradient_ratio: Its cost, as a multiple of one retraining.
        seconds: What it took.
        outputs: Of a learner of which only outputs are known: those of the new model, as `OUTPUTS`.
    """

    name: str
    content: bytes
    before: Logits
    after: Logits
    params: dict[str, Any]
    gradient_ratio: float
    seconds: float
    outputs: bytes | None = None


def edited(prepared: Prepared, tell: Progress) -> Made:
    """Make the edited model.

    Raises:
        DivergedError: if it is not finite.
        UserError: if nothing about it differs.
    """
    return _refitted(prepared) if prepared.model is None else _edited(prepared, prepared.model, tell)


def _about(prepared: Prepared) -> str:
    """What made a model, for the header of its file: nothing that differs between two equal requests."""
    return json.dumps({"unweave": __version__, "aim": prepared.aim, "method": prepared.choice.id})


def _edited(prepared: Prepared, model: GivenModel, tell: Progress) -> Made:
    import torch

    from unweave.learners.checkpoints import to_safetensors
    from unweave.methods import Examples, run
    from unweave.study.fair import built, params_of
    from unweave.training.engine import many, unstack
    from unweave.training.outputs import one_thread

    assembly, choice, setting = prepared.assembly, prepared.choice, prepared.assembly.setting
    x, y = (torch.from_numpy(one) for one in (setting.x, setting.y))
    forget = assembly.forget if prepared.found is None else prepared.found.forget
    rows, key = np.setdiff1d(retained(assembly), forget), derive(assembly.case.seed, "erase", choice.setting)
    clock = time.perf_counter()
    params: dict[str, Any] = {}
    with one_thread():
        if choice.name == RETRAIN:
            epochs = model.learner.recipe.epochs
            tell("edit", 0, epochs)
            state = many(
                model.learner, x, y, rows=[rows], keys=[key], on_epoch=lambda done: tell("edit", done, epochs)
            )
            ratio = 1.0
        else:
            aside, test = assembly.validation, assembly.data.test
            # Of few test data none are set aside; methods that need some were refused.
            held = Examples(*map(torch.from_numpy, (test.x[aside], test.y[aside]))) if len(aside) else None
            result = run(
                built(choice),  # pyright: ignore[reportArgumentType] - no parts, no budget
                model.learner,
                model.state,
                forget=Examples(x[forget], y[forget]),
                retain=Examples(x[rows], y[rows]),
                keys=[key],
                validation=held,
                on_step=lambda done, total: tell("edit", done, total),
            )
            state, ratio, params = result.state, result.gradient_ratio, params_of(assembly, choice, result)
            if prepared.found is not None:
                ratio = price_alone(assembly, prepared.found, ratio).total
    seconds = time.perf_counter() - clock
    new = unstack(state)[0]
    tensors = {**new.params, **new.buffers}
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise DivergedError(
            f"{choice.id} led to a model that is not finite, so nothing was written. Lower `learner.lr`, or give "
            "the recipe that the model was trained with."
        )
    before = {**model.checkpoint.state.params, **model.checkpoint.state.buffers}
    if all(torch.equal(value, before[name]) for name, value in tensors.items()):
        raise UserError(
            f"{choice.id} changed nothing in the model, so nothing was written. Give it other parameters, or name "
            "another method."
        )
    # What a file has no tensors for stands in its header: without its units a model of a table is another one.
    units = None if keeps_scales(model.checkpoint) else units_text(assembly, new)
    content = to_safetensors(new, model.checkpoint, _about(prepared), {} if units is None else {UNITS: units})
    return Made(
        NET,
        content,
        _logits(model, model.state),
        _logits(model, state),
        params,
        ratio,
        seconds,
    )


def _logits(model: GivenModel, state: State) -> Logits:
    return lambda x: outputs_of(model.learner, state, x)


def _refitted(prepared: Prepared) -> Made:
    """A classifier fitted anew without S: exact, and all that can be done where nothing but outputs is known."""
    from unweave.learners.opaque import fit_one

    assembly, setting = prepared.assembly, prepared.assembly.setting
    key = derive(assembly.case.seed, "erase", RETRAIN)
    whole, rest = assembly.worlds["original"].rows, retained(assembly)
    before = fit_one(setting.learner, setting.x, setting.y, rows=whole, key=key)
    clock = time.perf_counter()
    after = fit_one(setting.learner, setting.x, setting.y, rows=rest, key=key)
    seconds = time.perf_counter() - clock
    try:
        # Written for the user, who knows where it is from; unweave itself never reads one.
        content = pickle.dumps({"classifier": after.classifier, "scales": after.scales, "about": _about(prepared)})
    except Exception as error:  # whatever a class of one's own raises
        raise UserError(
            f"The classifier of {setting.learner.label} cannot be pickled, so nothing was written ({error}). "
            "Classes and functions at the top of a module can be."
        ) from None
    outputs = _outputs(assembly, after)
    return Made(PICKLE, content, _of(before), _of(after), {}, 1.0, seconds, outputs)


def _of(fitted: Fitted) -> Logits:
    return lambda x: fitted.logits(x)[None]


def _outputs(assembly: Assembly, fitted: Fitted) -> bytes:
    """Log-probabilities on all training and all test examples, with their ids: what an audit can be made of."""
    setting, test, out = assembly.setting, assembly.data.test, io.BytesIO()
    np.savez(
        out,
        train_ids=setting.ids,
        train=fitted.logits(setting.x),
        test_ids=test.ids,
        test=fitted.logits(test.x),
    )
    return out.getvalue()


def case_tree(prepared: Prepared) -> dict[str, Any]:
    """The case as a spec that repeats the request: it begins where the request began, with the same data."""
    assembly = prepared.assembly
    tree = case_to_tree(assembly.case)
    gone = set(assembly.dropped)
    tree["forget"]["ids"] = [one for one in tree["forget"]["ids"] if one not in gone]
    if prepared.file is not None:
        tree["learner"]["checkpoint"] = str(prepared.file)
    if assembly.setting.origin is not None:
        tree["data"]["fingerprint"] = assembly.setting.origin.fingerprint
    paths_from(tree, prepared.folder)
    return tree


def _left(assembly: Assembly, rows: NDArray[np.int64]) -> dict[str, str]:
    """Digests of the training data in these rows."""
    part, setting = assembly.data.train, assembly.setting
    columns = {name: values[rows] for name, values in part.columns.items()}
    return {
        "content": content_digest(Examples(part.x[rows], part.y[rows], part.ids[rows], columns)),
        "features": fingerprint(setting.x[rows], setting.y[rows], setting.ids[rows]),
    }


def digests(assembly: Assembly) -> dict[str, str]:
    """Digests of all training data of a case: see `Erasure.left`."""
    return _left(assembly, np.arange(len(assembly.data.train)))


def record(prepared: Prepared, diagnosis: str, forecast: float | None, made: Made | None) -> Erasure:
    """The record of a request; without an edited model there was nothing to erase."""
    assembly, n = prepared.assembly, len(prepared.assembly.setting.y)
    rates = () if made is None else _accuracy(assembly, made)
    copies = copies_of_forget(assembly, listed=_LISTED)
    before = {} if prepared.model is None or prepared.file is None else {
        "file": prepared.file.name, "sha256": prepared.model.checkpoint.sha256,
    }  # fmt: skip
    after = {} if made is None else {
        "file": f"{prepared.number:04d}/{made.name}", "sha256": hashlib.sha256(made.content).hexdigest(),
    }  # fmt: skip
    if made is not None and made.outputs is not None:
        name = f"{prepared.number:04d}/{OUTPUTS}"
        after |= {"outputs": name, "outputs_sha256": hashlib.sha256(made.outputs).hexdigest()}
    return Erasure(
        schema=ERASURE_SCHEMA,
        number=prepared.number,
        status="nothing to erase" if made is None else "erased",
        headline=_headline(prepared, made),
        aim=prepared.aim,
        method=prepared.choice.id,
        params={} if made is None else made.params,
        case=case_tree(prepared),
        forget=len(assembly.forget),
        share=len(assembly.forget) / n,
        model_before=before,
        model_after=after,
        data=assembly.setting.fingerprint,
        left=digests(assembly) if made is None else _left(assembly, retained(assembly)),
        accuracy=rates,
        copies=copies,
        diagnosis=diagnosis,
        gradient_ratio=0.0 if made is None else made.gradient_ratio,
        seconds=0.0 if made is None else made.seconds,
        forecast=forecast,
        warnings=warnings_of(prepared, rates, copies.exact + copies.near),
        still_to_delete=still_to_delete(assembly),
        provenance={
            "unweave": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            **about_recipe(assembly.case.learner, assembly.setting.learner),
            "trusted": {Path(file).name: digest for file, digest in assembly.trusted.items()},
            "notes": [_FITTED] if prepared.model is None else list(prepared.model.checkpoint.notes),
            **({} if prepared.found is None else {"expansion": about_found(assembly, prepared.found)}),
        },
    )


def _headline(prepared: Prepared, made: Made | None) -> str:
    some = f"{len(prepared.assembly.forget)} of {len(prepared.assembly.setting.y)} examples"
    if made is None:
        return "Untraining is a no-op here, within the bounds of the diagnosis: nothing to erase."
    if prepared.choice.name == RETRAIN:
        return f"The model was trained anew without {some} ({prepared.aim})."
    return f"The model was edited by {prepared.choice.id} for {some} ({prepared.aim})."


def _accuracy(assembly: Assembly, made: Made) -> tuple[Accuracy, ...]:
    setting, test = assembly.setting, assembly.data.test
    rest = retained(assembly)
    rest = rest[:: max(1, len(rest) // _SHOWN)]
    sets = {"S": (setting.x[assembly.forget], setting.y[assembly.forget])}
    sets |= {"rest of D": (setting.x[rest], setting.y[rest]), "test": (test.x, test.y)}
    found: list[Accuracy] = []
    for name, (x, y) in sets.items():
        before, after = made.before(x), made.after(x)
        parts = {name: np.arange(len(y))}
        if name == "test":
            names = assembly.data.labels or tuple(map(str, range(assembly.data.classes)))
            parts |= {f"test, class {names[one]}": np.flatnonzero(y == one) for one in np.unique(y)}
        found += [
            Accuracy(
                part,
                len(rows),
                float(accuracies(before[:, rows], y[rows])[0]),
                float(accuracies(after[:, rows], y[rows])[0]),
            )
            for part, rows in parts.items()
        ]
    return tuple(found)
