"""What a run has in use: kept from being removed under it, and noted as used when it ends."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress

from unweave._errors import StoreError
from unweave.references.index import touch
from unweave.references.leases import lease
from unweave.references.store import Store


@contextmanager
def in_use(store: Store, keys: Collection[str]) -> Generator[None]:
    """Hold on to objects, there already or not, until the block ends; they count as used from then on.

    Raises:
        StoreError: if the lease cannot be written.
    """
    with lease(store.root, keys):
        try:
            yield
        finally:
            with suppress(StoreError):  # only `gc --unused` asks for it
                touch(store, keys)
