"""What a job may use, but no result depends on."""

import argparse
from dataclasses import dataclass, fields
from typing import get_args

from goodsubnet.runtime.group import Graph


@dataclass(frozen=True)
class Machine:
    """What a job may use, but no result depends on.

    device: "auto", "cpu" or "cuda". data_dir: where the images lie that are read from files. readers: processes that
    read them ahead. temporary: the output will be deleted once nothing needs it. workers: processes that select
    together (Algorithm 2), nodes: machines that they are spread over, graph: how they talk.
    """

    device: str = "auto"
    data_dir: str = "data"
    readers: int = 0
    temporary: bool = False
    workers: int = 1
    nodes: int = 1
    graph: Graph = "all"

    @staticmethod
    def add_arguments(arguments: argparse.ArgumentParser) -> None:
        arguments.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
        arguments.add_argument("--data-dir", default="data", help="where data sets lie")
        arguments.add_argument("--readers", type=int, default=0, help="processes that read images ahead")
        arguments.add_argument("--temporary", action="store_true", help="it will be deleted once nothing needs it")

    @staticmethod
    def add_worker_arguments(arguments: argparse.ArgumentParser) -> None:
        arguments.add_argument("--workers", type=int, default=1, help="processes that select together")
        arguments.add_argument("--nodes", type=int, default=1, help="machines that they are spread over")
        arguments.add_argument("--graph", default="all", choices=get_args(Graph), help="how they talk to each other")

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "Machine":
        return cls(**{field.name: getattr(args, field.name) for field in fields(cls) if hasattr(args, field.name)})
