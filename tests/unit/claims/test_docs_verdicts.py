"""The verdicts in docs/ are those that today's code gives of the tables there."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_no_verdict_of_a_page_is_stale() -> None:
    command = [sys.executable, str(ROOT / "studies/verdicts.py"), "--check"]
    result = subprocess.run(command, text=True, capture_output=True)
    assert result.returncode == 0, result.stdout + result.stderr
