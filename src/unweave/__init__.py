"""unweave: did your method untrain or unlearn? Reference models by the hundred, with intervals."""

from unweave._version import __version__ as __version__
