"""Training: one readable loop (`fit`) and the engine that trains many replicas at once (`many`).

The parts import torch, so this file imports none of them: `unweave.training.loop`, `.engine`, `.outputs`.
"""

TRAINING_VERSION = 5
"""Enters the key of every stored model; raised whenever training changes a bit of its result."""
