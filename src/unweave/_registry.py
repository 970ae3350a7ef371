"""One registry for everything that has a name: each entry keeps its factory and what it declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from unweave._errors import ApplicabilityError, UnknownNameError

Declared = TypeVar("Declared")


class Origin(NamedTuple):
    """Where something registered is from, that is not of unweave itself.

    Attributes:
        kind: `file` that the user trusts, installed `package`, or `script`: the running program.
        name: Path of the file, name and version of the package, or what the script is.
        digest: SHA-256 of its code, which tells an edited one from what it was.
        imports: What a file imports besides: names with versions, or SHA-256 of own code.
    """

    kind: str
    name: str
    digest: str
    imports: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Entry(Generic[Declared]):
    """A registered factory: its name, the function, and what it declares about itself."""

    name: str
    factory: Callable[..., Any]
    declared: Declared

    @property
    def summary(self) -> str:
        """The first line of the factory's docstring."""
        return (inspect.getdoc(self.factory) or "").split("\n", 1)[0]

    def defaults(self) -> dict[str, Any]:
        """The keyword parameters of the factory with their defaults."""
        parameters = inspect.signature(self.factory).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def build(self, **given: Any) -> Any:
        """Call the factory after checking the names of its parameters.

        Raises:
            UnknownNameError: for a parameter the factory does not have; near names are offered.
        """
        known = self.defaults()
        for name in given:
            if name not in known:
                if not known:
                    raise ApplicabilityError(f"`{self.name}` takes no parameters; got `{name}`.")
                raise UnknownNameError(f"parameter of `{self.name}`", name, known)
        return self.factory(**given)


class Registry(Generic[Declared]):
    """Names of one kind (method, learner, …) and what stands behind them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.compose: Callable[[str], Entry[Declared] | None] | None = None
        self._entries: dict[str, Entry[Declared]] = {}

    def add(self, name: str, factory: Callable[..., Any], declared: Declared) -> None:
        """Register a factory; a name taken twice is an error, never a silent replacement."""
        self.put(Entry(name, factory, declared))

    def put(self, entry: Entry[Declared]) -> None:
        """Register an entry that was made before, or taken out."""
        if entry.name in self._entries:
            owner = getattr(self._entries[entry.name].factory, "__module__", "another")
            raise ValueError(
                f"The {self.kind} `{entry.name}` is registered already, by {owner}; take another name."
            )
        self._entries[entry.name] = entry

    def take(self, which: Callable[[Entry[Declared]], bool]) -> list[Entry[Declared]]:
        """Take entries out; returns those that were taken."""
        taken = [entry for entry in self if which(entry)]
        for entry in taken:
            del self._entries[entry.name]
        return taken

    def get(self, name: str) -> Entry[Declared]:
        """The entry of a name, or what `compose` makes of one that names several.

        Raises:
            UnknownNameError: for a name that stands for nothing; near ones are offered.
        """
        if name in self._entries:
            return self._entries[name]
        composed = None if self.compose is None else self.compose(name)
        if composed is None:
            raise UnknownNameError(self.kind, name, self._entries)
        return composed

    def __iter__(self) -> Iterator[Entry[Declared]]:
        """All entries in the order of their registration."""
        return iter(self._entries.values())

    def __contains__(self, name: str) -> bool:
        """Whether a name is registered."""
        return name in self._entries

    def names(self) -> list[str]:
        """All names in the order of their registration."""
        return list(self._entries)
