"""A script as a command: the arguments that every script has, and its errors in one line."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from goodsubnet.errors import UserError
from goodsubnet.runtime.signals import stop


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every script has."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--settings", required=True, type=json.loads, help="settings of the stage, as JSON")
    arguments.add_argument("--output", required=True, type=Path, help="the artifact to make")
    return arguments


def run(main: Callable[[], None]) -> None:
    """Run a script's `main`: what a user must fix is reported in one line, and SIGTERM ends it with all saved."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(f"error: out of memory ({error}); lower the width or the number of examples, or add memory")


def inputs_by_stem(paths: Iterable[str]) -> dict[str, str]:
    """Inputs of a job that have no names of their own: what each file is called -> its path."""
    return {Path(path).stem: path for path in paths}
