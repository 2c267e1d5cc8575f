"""Thousands of random bad inputs: the checks of tests/test_fuzz.py, with other cases each time.

    python benchmarks/fuzz.py 20       # twenty times as many cases as in the tests

Prints a case that ends otherwise than it must (see tests/fuzz.py), made as small as hypothesis can.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    os.environ["HPTOOLKIT_FUZZ"] = sys.argv[1] if len(sys.argv) > 1 else "20"
    root = Path(__file__).resolve().parent.parent
    sys.exit(pytest.main(["-q", "--durations=0", str(root / "tests" / "test_fuzz.py")]))
