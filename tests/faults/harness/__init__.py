"""Faults that are done to real files and processes, and what is looked for afterwards."""
