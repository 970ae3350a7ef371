"""The version of unweave."""

__version__ = "0.1.0"
