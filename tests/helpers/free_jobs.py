"""A job whose settings are whatever a test gives."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from goodsubnet.runtime.jobs import Job


class Anything(BaseModel, extra="allow"):
    """Settings of no stage."""


class FreeJob(Job[Anything]):
    """A job with settings as a dictionary."""

    def __init__(
        self, stage: str, output: Path, settings: Mapping, inputs: Mapping[str, Path | None], **wildcards: str | int
    ) -> None:
        super().__init__(stage, output, Anything(**settings), inputs, **wildcards)

    def json(self, name: str) -> object:
        """Content of an input."""
        return json.loads(self.content(name))


def read_json(path: Path) -> object:
    """Content of a JSON artifact."""
    return json.loads(Path(path).read_bytes())
