"""The command `goodsubnet`: what people do outside the workflow."""

import argparse
import contextlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from goodsubnet.errors import UserError
from goodsubnet.runtime import plugins

if TYPE_CHECKING:
    from goodsubnet.settings.configuration import Configuration

NOT_YET = 3


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="goodsubnet", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    check = commands.add_parser("check", help="check a configuration without running anything")
    check.add_argument("configuration", type=Path)
    check.set_defaults(run=lambda args: _check(args.configuration))

    keys = commands.add_parser("keys", help="print what each key of the configuration means")
    keys.set_defaults(run=lambda args: _keys())

    document = commands.add_parser(
        "document", help="write the tables of config/README.md and config/schema.json anew from the typed settings"
    )
    document.add_argument("folder", type=Path, nargs="?", default=Path("config"))
    document.set_defaults(run=lambda args: _document(args.folder))

    export = commands.add_parser("export", help="write a deep network, pruned or not, as ONNX")
    export.add_argument("network", type=Path, help="a .safetensors file of the chain: pretrain, prune or finetune")
    export.add_argument("output", type=Path, help="the .onnx file to write")
    export.set_defaults(run=lambda args: _export(args.network, args.output))

    watch = commands.add_parser("watch", help="observe checkpoints as they are written, and say when it is enough")
    watch.add_argument("folder", type=Path, help="where files iteration-<t>.safetensors or iteration-<t>.pt appear")
    watch.add_argument("--configuration", type=Path, required=True, help="the configuration of the experiment")
    watch.add_argument("--experiment", required=True, help="its data, its training and how it is pruned")
    watch.add_argument("--network", help="a name under `networks`; without it the experiment's first")
    watch.add_argument("--examples", type=int, help="training images; without it the experiment's largest number")
    watch.add_argument("--seed", type=int, help="of the sub-dataset; without it the experiment's first")
    watch.add_argument("--rule", default="plateau", help="a name under `stopping.rules`; without it plateau")
    watch.add_argument(
        "--once", action="store_true", help="read what is there and end: status 0 if enough, 3 if not yet"
    )
    watch.add_argument("--poll", type=float, default=5.0, help="seconds between two looks at the folder")
    watch.set_defaults(run=_watch)
    bring = commands.add_parser("import", help="bring checkpoints that were trained elsewhere into the chain")
    bring.add_argument(
        "checkpoints", type=Path, nargs="+", help="state dicts saved by torch, or safetensors files of them"
    )
    bring.add_argument("--configuration", type=Path, required=True, help="the file that describes the network")
    bring.add_argument("--network", required=True, help="its name under `networks`")
    bring.add_argument("--experiment", help="one that uses it, where several do with other images")
    bring.add_argument("--output", help="a pattern or a folder; without it, the network's key `checkpoints`")
    for name in ("examples", "seed", "iteration"):
        bring.add_argument(f"--{name}", type=int, help="of the checkpoints, where their paths do not say it")
    bring.set_defaults(run=_import)
    verify = commands.add_parser("verify", help="check where figures and tables come from, back to the data")
    verify.add_argument("paths", type=Path, nargs="+", metavar="path", help="a file that the workflow made")
    verify.add_argument("--all", action="store_true", help="name every file of the chain")
    verify.add_argument("--directory", type=Path, default=Path(), help="the folder where snakemake ran")
    verify.set_defaults(run=lambda args: _verify(args.paths, args.directory, args.all))

    args = parser.parse_args(argv)
    try:
        args.run(args)
    except UserError as error:
        sys.exit(f"error: {error}")


# Each command imports what it needs: some of it is slow to load.


def _check(path: Path) -> None:
    from goodsubnet.preflight import check_by_itself

    configuration = _read(path)
    check_by_itself(configuration)
    print(f"{path} is valid; it makes {', '.join(configuration.targets)}")


def _read(path: Path) -> "Configuration":
    import yaml

    # A user's plug-ins lie beside the configuration.
    plugins.add_folder(path.parent / plugins.FOLDER)
    from goodsubnet.settings.configuration import load_configuration

    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no keys")
    return load_configuration(raw)


def _import(args: argparse.Namespace) -> None:
    configuration = _read(args.configuration)
    # torch is slow to import, and the other commands do without.
    from goodsubnet.exchange.importing import import_checkpoints

    numbers = {name: getattr(args, name) for name in ("examples", "seed", "iteration")}
    made = import_checkpoints(args.checkpoints, configuration, args.network, args.experiment, args.output, numbers)
    for source, place in zip(args.checkpoints, made, strict=True):
        print(f"{source} -> {place}")


def _keys() -> None:
    from goodsubnet.settings.documentation import key_tables

    print(key_tables())


def _export(network: Path, output: Path) -> None:
    from goodsubnet.exchange.export import export_onnx

    export_onnx(network, output)
    print(
        f"{output}: input `images` (batch, channels, height, width) in [0, 1], of the size that the network was "
        "trained on; output `logits`, in the order of the classes"
    )


def _watch(args: argparse.Namespace) -> None:
    """Ends with status 0 where it is enough, and with 3 where it is not yet."""
    from goodsubnet.stopping.watching import Trial, watch

    if not args.poll > 0:
        raise UserError(f"--poll: seconds above 0, not {args.poll:g}")
    trial = Trial(_read(args.configuration), args.experiment, args.network, args.examples, args.seed)
    enough = watch(args.folder, trial, args.rule, once=args.once, poll=args.poll, say=partial(print, flush=True))
    sys.exit(0 if enough else NOT_YET)


def _verify(paths: list[Path], directory: Path, every: bool) -> None:
    from goodsubnet.runtime.verification import Broken, Lineage

    if not directory.is_dir():
        raise UserError(f"--directory: there is no folder {directory}")
    try:
        with contextlib.chdir(directory):
            lineage = Lineage(paths)
            print(lineage.text(every), flush=True)
            lineage.check()
    except Broken as broken:
        print(f"does not hold: {broken}")
        sys.exit(1)
    print("holds: every file is the one that the next was made from, and the code that made them is today's")


def _document(folder: Path) -> None:
    from goodsubnet.settings.documentation import schema, with_tables

    page = folder / "README.md"
    page.write_text(with_tables(page.read_text()))
    (folder / "schema.json").write_text(json.dumps(schema(), indent=1) + "\n")


if __name__ == "__main__":
    main()
