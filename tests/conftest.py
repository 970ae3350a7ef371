"""What all tests share: which files are scripts and not tests, and data that may be absent."""

import gc
import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from unweave import UserError
from unweave.data.named import VARIABLE, find

collect_ignore = ["calibration/calibrate.py", "calibration/null_trials.py"]

# A busy machine is no reason to fail.
settings.register_profile("noisy machines", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy machines")

_FILES = {
    "mnist": "mnist/mnist.npz",
    "fashion": "fashion_mnist/fashion_mnist.npz",
    "cifar10": "cifar10/cifar10_20k_4k.npz",
    "pneumonia": "pneumoniamnist/pneumoniamnist.npz",
    "adult": "tabular/adult-train.csv",
    "german": "tabular/german.csv",
}


@pytest.fixture
def need_data():
    """A function that skips a test where a public data set is absent."""

    def need(source: str) -> None:
        try:
            if source in _FILES:
                find(_FILES[source])
        except UserError:
            pytest.skip(f"the public data `{source}` are not here; {VARIABLE} names their folder")

    return need


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
