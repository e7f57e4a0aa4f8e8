"""The command `goodsubnet`: what people do outside the workflow."""

import argparse
import json
import sys
from pathlib import Path

from goodsubnet.documentation import key_tables, schema, with_tables
from goodsubnet.errors import UserError
from goodsubnet.settings import load_configuration


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="goodsubnet", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    check = commands.add_parser("check", help="check a configuration without running anything")
    check.add_argument("configuration", type=Path)
    check.set_defaults(run=lambda args: _check(args.configuration))

    keys = commands.add_parser("keys", help="print what each key of the configuration means")
    keys.set_defaults(run=lambda args: print(key_tables()))

    document = commands.add_parser(
        "document", help="write the tables of config/README.md and config/schema.json anew from the typed settings"
    )
    document.add_argument("folder", type=Path, nargs="?", default=Path("config"))
    document.set_defaults(run=lambda args: _document(args.folder))

    export = commands.add_parser("export", help="write a deep network, pruned or not, as ONNX")
    export.add_argument("network", type=Path, help="a .safetensors file of the chain: pretrain, prune or finetune")
    export.add_argument("output", type=Path, help="the .onnx file to write")
    export.set_defaults(run=lambda args: _export(args.network, args.output))

    args = parser.parse_args(argv)
    try:
        args.run(args)
    except UserError as error:
        sys.exit(f"error: {error}")


def _check(path: Path) -> None:
    import yaml

    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no keys")
    configuration = load_configuration(raw)
    print(f"{path} is valid; it makes {', '.join(configuration.targets)}")


def _export(network: Path, output: Path) -> None:
    from goodsubnet.export import export_onnx

    export_onnx(network, output)
    print(
        f"{output}: input `images` (batch, channels, height, width) in [0, 1], of the size that the network was "
        "trained on; output `logits`, in the order of the classes"
    )


def _document(folder: Path) -> None:
    page = folder / "README.md"
    page.write_text(with_tables(page.read_text()))
    (folder / "schema.json").write_text(json.dumps(schema(), indent=1) + "\n")


if __name__ == "__main__":
    main()
