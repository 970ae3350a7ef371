"""The engine of a run by name: what is refused, before anything is trained or started."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import SpecError, UserError
from unweave.study import read_spec
from unweave.study.device import address_of, check_engine, engine_name

TINY = Case(learner=LearnerChoice(epochs=1), references=ReferenceChoice(models=3))


@pytest.mark.parametrize(
    "engine",
    [
        "",
        "Ray",
        "ray:",
        "ray:host",
        "ray:ray://host:1",
        "ray:host:port",
        "ray:a b:1",
        "ray:h:123456",
        3,
        None,
        "dask",
    ],
)
def test_what_is_no_engine_is_refused(engine):
    with pytest.raises(SpecError, match="`engine` is .*; expected processes, ray, or ray:HOST:PORT"):
        engine_name(engine)


@pytest.mark.parametrize(
    ("engine", "address"),
    [
        ("processes", None),
        ("ray", None),
        ("ray:head:6379", "head:6379"),
        ("ray:10.0.0.5:6379", "10.0.0.5:6379"),
        ("ray:[fd00::1]:6379", "[fd00::1]:6379"),
    ],
)
def test_an_engine_by_name_and_where_it_is(engine, address):
    assert engine_name(engine) == engine
    assert address_of(engine) == address


def test_a_spec_may_name_it(tmp_path):
    assert read_spec().engine == "processes"
    assert read_spec(settings=["engine=ray:head:6379"]).engine == "ray:head:6379"
    (tmp_path / "a.toml").write_text('engine = "ray"\n')
    assert read_spec(tmp_path / "a.toml").engine == "ray"
    with pytest.raises(SpecError, match="`engine` is 'threads'"):
        read_spec(settings=["engine=threads"])


def test_without_ray_nothing_is_trained(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"The engine `ray` needs Ray: `python -m pip install 'unweave\[ray\]'`"):
        compare(TINY, methods=["noop"], store=tmp_path / "store", engine="ray")
    assert not (tmp_path / "store").exists()


def test_ray_gives_a_task_any_gpu_also_where_this_machine_has_none(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: torch.__spec__)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_engine("ray", "cuda")
    with pytest.raises(SpecError, match="`device` is cuda:1, but Ray gives each task a GPU of its own choice"):
        check_engine("ray:head:6379", "cuda:1")
    with pytest.raises(UserError, match="sees no GPU here"):
        check_engine("processes", "cuda")
