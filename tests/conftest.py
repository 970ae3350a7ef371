"""What all tests share: which files are scripts and not tests, and data that may be absent."""

import ast

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import _import_hook


class _Outermost(_import_hook.JaxtypingTransformer):
    """Types are checked at run time where functions of modules and classes are called, and in these alone.

    A check of a function within a function is compiled anew whenever the outer one runs, which takes most of the
    time of tests of methods: those are left to the static type checker.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:  # noqa: N802
        within = any(isinstance(parent, ast.FunctionDef) for parent in self._parents)
        return node if within else super().visit_FunctionDef(node)


_import_hook.JaxtypingTransformer = _Outermost

from unweave import UserError  # noqa: E402 - its modules are imported by that hook
from unweave.data.named import VARIABLE, find  # noqa: E402

collect_ignore = [
    f"calibration/{name}.py"
    for name in (
        "audits",
        "audit_trials",
        "calibrate",
        "discoveries",
        "discovery_trials",
        "null_trials",
        "regimes",
    )
]

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
    "text": "text/sms_spam.tsv",
    "messages": "text/sms_spam.tsv",
    "tofu": "tofu/full.json",
    "tofu logs": "tofu_eval_logs/expected.json",
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
