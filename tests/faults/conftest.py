"""The harness lies beside the tests: `make faults` runs the same code at full size."""

import sys
from pathlib import Path

collect_ignore = ["harness", "full.py"]

sys.path.insert(0, str(Path(__file__).parent))
