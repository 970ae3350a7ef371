"""Two machines for Ray, as far as it can tell, and tasks without a purpose that its workers find."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MODULE = '''
import os, signal, time
from pathlib import Path

from unweave._errors import SpecError
from unweave.execute import task


@task
def kin():
    return {"toys": os.environ.get("TOYS", "1"), "unweave": "0"}


@task
def add(values, after=0.0, away=None):
    time.sleep(after)
    return sum(values) + sum(away.inputs.values())


@task
def names(away):
    return sorted(away.inputs)


@task
def surroundings(away):
    return [os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]


@task
def make(objects, then, away):
    away.made.extend(objects)
    if then == "refuse":
        raise SpecError("no more of these")
    if then == "bug":
        raise ZeroDivisionError("oh")
    return len(objects)


@task
def count(folder, then, away):
    """Records a try, then ends as told."""
    tries = len(list(Path(folder).iterdir()))
    (Path(folder) / f"{tries}-{os.getpid()}").touch()
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "die once" and not tries:
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "bug":
        return {}["nothing here"]
    if then == "memory":
        raise MemoryError("17 GB")
    return tries


@task
def wait(folder, seconds, away):
    (Path(folder) / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (Path(folder) / "go").exists():
        time.sleep(0.05)
    return len(list(Path(folder).iterdir()))
'''


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("toys")
    (folder / "tasks_of_test_ray.py").write_text(MODULE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield folder


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    """Two machines of one core each, as far as Ray can tell: its own processes, listening at 127.0.0.1 alone."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: `python -m pip install 'unweave[ray]'`")
    folder = tempfile.mkdtemp(prefix="ray-")  # pytest's own names are too long for sockets
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_TMPDIR", folder)
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            cluster.add_node(num_cpus=1)
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)
            del cluster
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # of files that Ray leaves open
                gc.collect()
