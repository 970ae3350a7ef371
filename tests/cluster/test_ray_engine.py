"""Ray: the same values as other engines, deaths of workers and machines, errors, and nothing left behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from unweave._errors import CorruptObjectError, StoreError, UserError
from unweave.execute import Task, check_ray, on_ray
from unweave.execute.failures import WorkerError

# Ray leaves files open, and warns of what it will do in versions to come.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster(toys: Path, ray_cluster: Any) -> Any:
    return ray_cluster


def toy(name: str, *inputs: str, label: str = "", **arguments: Any) -> Task:
    return Task(f"tasks_of_test_ray:{name}", arguments, label, inputs)


class Desk:
    """Stands in for a store: gives what is known, and takes what was made."""

    def __init__(self, **known: Any) -> None:
        self.known, self.asked, self.taken = known, [], []
        self.refuse: list[Exception] = []

    def fetch(self, name: str) -> Any:
        self.asked.append(name)
        return self.known.get(name.replace(" ", "_"))

    def commit(self, made: Any) -> None:
        if self.refuse:
            raise self.refuse.pop()
        self.taken.extend(made)


@contextmanager
def opened(address: str, desk: Desk) -> Iterator[Any]:
    code = "tasks_of_test_ray:kin"
    with on_ray(address, workers=None, cores=2, code=code, fetch=desk.fetch, commit=desk.commit) as engine:
        yield engine


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(a=10, case_b=100)


@pytest.fixture(scope="module")
def engine(cluster: Any, desk: Desk) -> Iterator[Any]:
    with opened(cluster.address, desk) as engine:
        yield engine


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest) -> None:
    if "desk" in request.fixturenames:
        desk = request.getfixturevalue("desk")
        desk.asked.clear()
        desk.taken.clear()


# ---- what works ----


def test_values_in_order_and_every_task_reported_once(engine: Any):
    seen: list[tuple[int, Any]] = []
    tasks = [toy("add", values=[n], after=0.3 * (n == 0)) for n in range(12)]
    assert engine.run(tasks, on_done=lambda *one: seen.append(one)) == list(range(12))
    assert sorted(seen) == [(n, n) for n in range(12)]
    assert engine.run([]) == []
    assert "2 machines, 2 cores" in engine.hardware


def test_what_is_read_is_sent_once_and_what_is_missing_is_not(
    engine: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    import ray

    puts: list[Any] = []
    real = ray.put
    monkeypatch.setattr(ray, "put", lambda value: puts.append(value) or real(value))
    assert engine.run([toy("add", "a", "case b", "not there", values=[n]) for n in range(6)]) == [
        110 + n for n in range(6)
    ]
    assert sorted(puts) == [10, 100]
    assert engine.run([toy("names", "a", "case b", "not there")]) == [["a", "case"]]
    assert len(puts) == 2, "another call of the same run sends nothing again"


def test_workers_have_one_blas_thread(engine: Any):
    assert engine.run([toy("surroundings")]) == [["1", "1", "1"]]


def test_the_driver_alone_stores_what_was_made_also_by_a_task_that_failed(engine: Any, desk: Desk):
    tasks = [toy("make", objects=[n], then=then) for n, then in enumerate(["", "refuse", "bug"])]
    failed: list[int] = []
    with pytest.raises(WorkerError, match="2 of 3 tasks failed"):
        engine.run(tasks, on_failed=lambda number, _: failed.append(number))
    assert sorted(desk.taken) == [0, 1, 2]
    assert sorted(failed) == [1, 2]


# ---- what fails ----


def test_a_worker_that_is_killed_costs_its_task_only(engine: Any, tmp_path: Path):
    tasks = [toy("add", values=[n]) for n in range(8)]
    assert engine.run([*tasks, toy("count", folder=str(tmp_path), then="die once")]) == [*range(8), 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_worker_killed_from_outside_in_the_middle_of_its_task(engine: Any, tmp_path: Path):
    def kill() -> None:
        first = wait_for(lambda: list(tmp_path.iterdir()))[0]
        os.kill(int(first.name.partition("-")[0]), signal.SIGKILL)
        wait_for(lambda: len(list(tmp_path.iterdir())) > 1)
        (tmp_path / "go").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    assert engine.run([toy("wait", folder=str(tmp_path), seconds=20)]) == [3]
    killer.join()


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("die", "Task deadly failed: its worker died 3 times over it, last by a crash or a kill"),
        ("memory", "Task deadly failed: memory ran out 3 times over it: MemoryError: 17 GB"),
    ],
)
def test_the_third_loss_is_the_last_and_stops_no_other_task(engine: Any, tmp_path: Path, then: str, said: str):
    done: list[int] = []
    tasks = [toy("count", folder=str(tmp_path), then=then, label="deadly")]
    tasks += [toy("add", values=[n]) for n in range(5)]
    with pytest.raises(WorkerError) as caught:
        engine.run(tasks, on_done=lambda number, _: done.append(number))
    assert said in str(caught.value)
    assert len(list(tmp_path.iterdir())) == 3
    assert sorted(done) == [1, 2, 3, 4, 5]


def test_a_bug_in_one_of_many_is_not_tried_again_and_the_others_finish(engine: Any, tmp_path: Path):
    done: list[int] = []
    tasks = [toy("add", values=[n]) for n in range(30)]
    tasks[11] = toy("count", folder=str(tmp_path), then="bug", label="training A(D) of digits (seed 3)")
    with pytest.raises(WorkerError) as caught:
        engine.run(tasks, on_done=lambda number, _: done.append(number))
    message = str(caught.value)
    assert message.startswith("Task training A(D) of digits (seed 3) failed: Traceback")
    assert "KeyError: 'nothing here'" in message and "The other 29 tasks are done" in message
    assert len(done) == 29 and len(list(tmp_path.iterdir())) == 1


def test_what_came_damaged_is_made_again(engine: Any, desk: Desk):
    desk.refuse = [CorruptObjectError("Object x does not hold what was written to it.")]
    assert engine.run([toy("make", objects=[5], then="")]) == [1]
    assert desk.taken == [5]


def test_a_store_that_takes_nothing_more_ends_the_run(engine: Any, desk: Desk):
    desk.refuse = [StoreError("No space left on device.")]
    with pytest.raises(StoreError, match="No space left"):
        engine.run([toy("make", objects=[n], then="") for n in range(5)])
    desk.refuse = []
    assert engine.run([toy("add", values=[1])]) == [1]


def test_arguments_that_are_no_json_are_refused(engine: Any):
    with pytest.raises(TypeError, match="not JSON serializable"):
        engine.run([toy("add", values={1, 2})])


def test_a_gpu_that_no_machine_has_is_no_endless_wait(engine: Any):
    with pytest.raises(UserError, match="The Ray cluster has no GPU"):
        engine.run([toy("add", values=[1])], gpu=True)


def test_a_machine_that_is_gone_costs_what_it_was_at(cluster: Any, engine: Any, tmp_path: Path):
    third = cluster.add_node(num_cpus=1)

    def remove() -> None:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 3)  # one on each machine
        cluster.remove_node(third, allow_graceful=False)
        wait_for(lambda: not all(Path("/proc", one.name.partition("-")[0]).exists() for one in tmp_path.iterdir()))
        (tmp_path / "go").touch()

    remover = threading.Thread(target=remove)
    remover.start()
    assert len(engine.run([toy("wait", folder=str(tmp_path), seconds=25) for _ in range(3)])) == 3
    remover.join()
    assert len([one for one in tmp_path.iterdir() if one.name != "go"]) == 4


def wait_for(look: Any) -> Any:
    end = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found


def test_what_a_worker_cannot_read_is_one_message(engine: Any, desk: Desk):
    class Unknown:
        def __reduce__(self) -> Any:
            return __import__, ("a_module_that_no_worker_has",)

    desk.known["unknown"] = Unknown()
    with pytest.raises(UserError, match="could not begin the task adding: .*The same unweave must be installed"):
        engine.run([toy("add", "unknown", values=[1], label="adding")])


def test_no_cluster_at_that_address():
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    with pytest.raises(UserError, match=r"No Ray cluster answers at 127\.0\.0\.1:9: Connection refused"):
        with opened("127.0.0.1:9", Desk()):
            pass


def test_a_process_that_uses_ray_already_is_left_alone(cluster: Any, engine: Any):
    with pytest.raises(UserError, match="connected to Ray already"):
        with opened(cluster.address, Desk()):
            pass
    assert engine.run([toy("add", values=[1])]) == [1]


def test_without_ray_one_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs Ray: `python -m pip install 'unweave\[ray\]'`"):
        check_ray()
    with pytest.raises(UserError, match="needs Ray"):
        with on_ray(None, workers=1, cores=1, code="", fetch=print, commit=print):
            pass
