"""The method keeps what every method of unweave keeps."""

from unweave.testing import check_method


def test_the_contract():
    """Every promise, on toys of a second."""
    check_method("inverted_hinge")
