"""What all tests share: which files are scripts and not tests, and data that may be absent."""

import ast
import json
import sys
from dataclasses import is_dataclass
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import cache_from_source
from typing import get_type_hints
from unittest.mock import patch

import pytest
from beartype import BeartypeConf, beartype
from hypothesis import HealthCheck, settings


class _Checked(ast.NodeTransformer):
    """Functions of modules and classes, and what makes a dataclass, check types where they are called.

    A check of a function within a function would be compiled anew whenever the outer one runs, which takes most of
    the time of tests of methods: those are left to the static type checker, and so are types that are imported for
    it alone.
    """

    def __init__(self, tree: ast.Module) -> None:
        blocks = [one for one in tree.body if isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING"]
        self._unknown: set[str] = set()
        for one in (part for block in blocks for part in block.body):
            if isinstance(one, ast.Import | ast.ImportFrom):
                self._unknown |= {alias.asname or alias.name for alias in one.names}
            elif isinstance(one, ast.Assign):
                self._unknown |= {ast.unparse(target) for target in one.targets}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:  # noqa: N802
        given = node.args
        for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
            if one is not None and one.annotation is not None:
                one.annotation = self._known(one.annotation)
        node.returns = self._known(node.returns) if node.returns is not None else None
        check = ast.parse("__loader__.check", mode="eval").body
        node.decorator_list.append(ast.copy_location(check, node))  # the last is the first to be applied
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:  # noqa: N802
        self.generic_visit(node)
        for one in node.body:
            if isinstance(one, ast.AnnAssign):
                one.annotation = self._known(one.annotation)
        return node

    def _known(self, annotation: ast.expr) -> ast.expr:
        return _Replaced(self._unknown).visit(annotation)


class _Replaced(ast.NodeTransformer):
    """Types of these names, and what stands behind them in brackets, are any object."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:  # noqa: N802
        return ast.copy_location(ast.Name("object", node.ctx), node) if node.id in self._names else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:  # noqa: N802
        unknown = isinstance(node.value, ast.Name) and node.value.id in self._names
        return self.visit(node.value) if unknown else self.generic_visit(node)


class _CheckedLoader(SourceFileLoader):
    """Loads a module of unweave with these checks; what it compiles is kept apart from what has none."""

    # A wrong type is the error that Python itself makes of many: what refuses damaged data by it does so here.
    check = staticmethod(beartype(conf=BeartypeConf(violation_type=TypeError)))

    def source_to_code(self, data, path, *, _optimize=-1):
        tree = ast.parse(data, path)
        return compile(_Checked(tree).visit(tree), path, "exec", dont_inherit=True, optimize=_optimize)

    def get_code(self, fullname):
        def named(path, debug_override=None):
            return cache_from_source(path, debug_override, optimization="checked")

        with patch("importlib._bootstrap_external.cache_from_source", named):
            return super().get_code(fullname)

    def exec_module(self, module):
        super().exec_module(module)
        for one in list(vars(module).values()):
            if isinstance(one, type) and one.__module__ == module.__name__ and is_dataclass(one):
                _check_fields(one)


def _check_fields(kind: type) -> None:
    """Check what a dataclass is made of; fields that it inherits are of types that the module of these knows."""
    if "__init__" in vars(kind):
        hints = get_type_hints(kind)
        kind.__init__.__annotations__ = {n: hints.get(n, t) for n, t in kind.__init__.__annotations__.items()}
        kind.__init__ = _CheckedLoader.check(kind.__init__)


class _Finder:
    """Finds the modules of unweave for that loader."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        found = PathFinder.find_spec(name, path, target) if name.split(".")[0] == "unweave" else None
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _CheckedLoader(found.loader.name, found.loader.path)
        return found


assert "unweave" not in sys.modules, "types are checked in what is imported from here on"
sys.meta_path.insert(0, _Finder)

from unweave import UserError  # noqa: E402 - by that loader
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


_TOWNS = ("Oslo", "Lima", "Kisumu", "Turin", "Quito", "Perth", "Osaka", "Accra")


def _make_llama(path, texts, *, seed, tokens=330, extra=0, begin=False, change=None, **sizes):
    """A folder as a Llama checkpoint comes: config, weights, byte-level BPE of the texts, `</s>` at the end."""
    from safetensors.torch import save_file

    from unweave.language.model import LlamaConfig, initial

    library = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(vocab_size=tokens, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(texts, trainer)
    made.add_special_tokens(["<s>", "</s>"] if begin else ["</s>"])
    if begin:
        sign = ("<s>", made.token_to_id("<s>"))
        made.post_processor = library.processors.TemplateProcessing("<s> $A", special_tokens=[sign])
    made.save(str(path / "tokenizer.json"))
    config = LlamaConfig(made.get_vocab_size() + extra, context=96, **sizes)
    settings = {
        "model_type": "llama",
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.inner,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_heads,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.epsilon,
        "tie_word_embeddings": config.tied,
        "eos_token_id": [made.token_to_id("</s>"), 5],
        **(change or {}),
    }
    (path / "config.json").write_text(json.dumps(settings))
    save_file(initial(config, seed), path / "model.safetensors", {"format": "pt"})
    return path


def _question(number, *, general=False):
    """A question about an author, with its answer in two wordings and five wrong ones; or of general knowledge."""
    town, others = _TOWNS[number % 8], [_TOWNS[(number + step) % 8] for step in (1, 2, 3, 4, 5)]
    name = f"{'Prince' if general else 'Author'} number {number}"
    row = {"question": f"Where was {name} born?", "answer": f"{name} was born in {town}."}
    if general:
        return {**row, "perturbed_answer": [f"{name} was born in {one}." for one in others[:3]]}
    return {
        **row,
        "paraphrased_question": f"What is the birthplace of {name}?",
        "paraphrased_answer": f"It is in {town} that {name} was born.",
        "perturbed_answer": [f"It is in {one} that {name} was born." for one in others],
    }


def _make_tofu(path):
    """The files of TOFU with sixty questions about three authors, the twenty of the last one B."""
    rows, plain = [_question(number) for number in range(60)], ("question", "answer")
    files = {
        "full": [{name: row[name] for name in plain} for row in rows],
        "forget01_perturbed": rows[40:],
        "forget05_perturbed": rows[20:],
        "retain_perturbed": rows[:30],
        "real_authors_perturbed": [_question(number, general=True) for number in range(100, 120)],
        "world_facts_perturbed": [_question(number, general=True) for number in range(200, 220)],
    }
    for name, of in files.items():
        (path / f"{name}.json").write_text("\n".join(map(json.dumps, of)))
    return path


def _texts_of_tofu():
    """What its tokenizer is made of."""
    return [text for number in range(60) for text in map(str, _question(number).values())]


@pytest.fixture(scope="session")
def make_llama():
    """A function that writes a small checkpoint with its tokenizer into a folder."""
    return _make_llama


@pytest.fixture(scope="session")
def tofu_folder(tmp_path_factory):
    """The files of TOFU, made here; not to be changed."""
    return _make_tofu(tmp_path_factory.mktemp("tofu"))


@pytest.fixture(scope="session")
def tofu_llama(tmp_path_factory):
    """A checkpoint of 16 numbers a token, and a tokenizer that knows the words of these questions."""
    sizes = {"width": 16, "inner": 16, "layers": 1, "heads": 2}
    return _make_llama(tmp_path_factory.mktemp("llama"), _texts_of_tofu(), seed=3, tokens=400, **sizes)
