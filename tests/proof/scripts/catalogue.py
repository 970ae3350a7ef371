"""Counts of what there is: methods, corpora, examples of the cases, sizes of public data sets."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from unweave import UserError
from unweave.data import load
from unweave.language.corpora import make_corpus
from unweave.language.tokens import Vocabulary, encode
from unweave.learners.nets import build
from unweave.methods import METHODS
from unweave.study import CASES, DEFAULT_METHODS, assemble


def corpus() -> dict[str, int]:
    """Documents and tokens of a world of 500 people."""
    made = make_corpus(seed=0, people=500, behaviour="fact")
    words = Vocabulary(made.words())
    encoded = encode(made.documents, words)
    return {
        "documents": len(made.documents),
        "longest": encoded.tokens.shape[1],
        "tokens": int((encoded.tokens != 0).sum()),
        "vocabulary": len(words),
    }


def language_case() -> dict[str, int]:
    """Examples and parameters of `biographies-trigger`."""
    assembly = assemble(CASES["biographies-trigger"])
    learner = build(assembly.setting.learner)
    return {
        "examples": len(assembly.setting.y),
        "tokens": int(assembly.setting.x.shape[1]),
        "parameters": sum(value.numel() for value in learner.init(0).params.values()),
    }


def data() -> dict[str, Any]:
    """Training and test examples of public data where they are."""
    found: dict[str, Any] = {}
    for name in ("mnist", "fashion", "cifar10", "pneumonia", "adult", "german", "shapes"):
        try:
            loaded = load(name)
        except UserError:
            continue
        found[name] = {"train": len(loaded.train.y), "test": len(loaded.test.y)}
    return found


def main(target: str, what: str = "") -> None:
    """All counts, or those of public data sets."""
    if what == "data":
        Path(target).write_text(json.dumps(data()), encoding="utf-8")
        return
    importlib.import_module("unweave.language")
    found = {
        "methods": len(list(METHODS)),
        "default": len(DEFAULT_METHODS),
        "several": sum(one.declared.several for one in METHODS),
        "corpus": corpus(),
        "language_case": language_case(),
    }
    Path(target).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
