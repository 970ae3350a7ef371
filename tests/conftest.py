"""What all tests share: which files are scripts and not tests, and data that may be absent."""

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
