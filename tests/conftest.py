"""Settings of all tests."""

from pathlib import Path

import hypothesis
import pytest

# Of tests/workflow: those that run nothing but a plan.
QUICK = {"test_needs", "test_progress", "test_scheduler"}

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever runs the workflow takes seconds and more."""
    for item in items:
        if item.path.parent == Path(__file__).parent / "workflow" and item.path.stem not in QUICK:
            item.add_marker("slow")
