"""Run a script that mmdet or mmseg brings: run.py mmdet/analysis_tools/browse_dataset.py …"""

import argparse
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

from mixnet_dense.cli import parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script", help="HOST/PATH below the tools that mmdet or mmseg brings")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    return parse(parser, argv)


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.registry import MODELS

    host, _, path = args.script.partition("/")
    if host not in ("mmdet", "mmseg") or find_spec(host) is None:
        raise InputError(f"{args.script}: must begin with mmdet/ or mmseg/, installed here")
    file = Path(find_spec(host).origin).parent / ".mim" / "tools" / path
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    MODELS.import_from_location()  # the hosts import without compiled operators, files without code
    sys.argv = [str(file), *args.arguments]
    runpy.run_path(str(file), run_name="__main__")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
