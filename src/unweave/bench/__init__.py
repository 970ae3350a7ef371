"""Bench: every engine against the loop one would write by hand, in one run on this machine.

The parts import torch, so this file imports none of them: `unweave.bench.run.bench`.
"""
