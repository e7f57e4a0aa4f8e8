"""Fixtures of the tests that run Snakemake as a user runs it."""

from pathlib import Path

import pytest
from project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def project_with_code(tmp_path: Path) -> Project:
    """One with a copy of the code that a test may edit."""
    return Project.with_own_code(tmp_path)
