"""More of the behaviour than S where one model is edited: found with models of its own, beside any comparison."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from unweave.references import in_use
from unweave.study.ahead import ensure_ahead, expansion_work
from unweave.study.assemble import Assembly, assemble
from unweave.study.choices import MethodChoice
from unweave.study.engines import cores, engine_at_work
from unweave.study.evidence import HALVES, first_originals
from unweave.study.expansion import EMBEDDING, MOST_RUNGS, Found, Price, found_of, price_of
from unweave.study.forecast import forecast_text, seconds_per_model
from unweave.study.holdings import keep_ids, needed
from unweave.study.preflight import check_room
from unweave.study.running import Told, store_of
from unweave.study.spec import Spec


def most_to_find(assembly: Assembly) -> float:
    """What it costs at most to find more than S, as a multiple of one retraining on D∖S: see `price_alone`."""
    n = len(assembly.worlds["original"].rows)
    return MOST_RUNGS + (HALVES / 2 + 1) * n / (n - len(assembly.forget))


def price_alone(assembly: Assembly, found: Found, ratio: float) -> Price:
    """The cost of an edit with what was found; the features of D are those of a model that is trained for it."""
    price, n = price_of(assembly, found, ratio), len(assembly.worlds["original"].rows)
    return price._replace(scoring=price.scoring + n / (n - len(assembly.forget)))


def found_alone(spec: Spec, assembly: Assembly, choice: MethodChoice, told: Told) -> Found:
    """Find more of the behaviour of S, with models that are trained as the user's was.

    What a comparison of the same case trained is found again, and the other way round.
    """
    case = assembly.case
    plain = replace(case, learner=replace(case.learner, checkpoint=None))
    few = first_originals(assemble(plain, trusted=assembly.trusted), [EMBEDDING])
    store = store_of(spec)
    store.check_writable()
    methods, wanted = {case.name: (choice,)}, [(few, choice)]
    check_room(store, [few], methods)
    with ExitStack() as held:
        held.enter_context(in_use(store, needed([few], methods)))
        work, _ = expansion_work(store, wanted)
        if work > 0:
            told.show("More of the behaviour of S is looked for in D∖S.")
            told.show(forecast_text(work, seconds_per_model(few), spec.workers or cores()))
        engine = held.enter_context(engine_at_work(spec, store, [few], methods, lambda said: None))
        keep_ids(store, [few])
        ensure_ahead(store, wanted, engine.train, told.tell)
        found = found_of(store, few, choice)
    assert found is not None  # the choice expands
    return found


def about_found(assembly: Assembly, found: Found) -> dict[str, Any]:
    """What was found, for a record: ids of what joined S, and how the rung was chosen."""
    joined = sorted(set(found.forget.tolist()) - set(assembly.forget.tolist()))
    return {
        "joined": [str(one) for one in assembly.setting.ids[joined].tolist()],
        "cuts": list(found.cuts),
        "rung": found.rung,
        "believed": list(found.believed),
    }
