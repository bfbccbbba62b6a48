"""Parameters and multiply-adds: python tools/complexity.py configs/ssdlite_mixnet.py mixnet_s"""

import argparse
import contextlib
import json
import sys
from pathlib import Path

from mixnet_dense.cli import parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="configs, or names such as mobilenetv3_large")
    parser.add_argument(
        "--shape",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="image size (detectors 320 320, "
        "segmenters 1025 2049 as MobileNetV3 counts Cityscapes, names 224 224)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--stages", action="store_true", help="split the cost over stages")
    parser.add_argument(
        "--paper-tables", action="store_true", help="compare the papers' printed costs with ours"
    )
    parser.add_argument(
        "--zoo", action="store_true", help="write docs/model_zoo.md's tables, metafile.yml"
    )
    args = parse(parser, argv)
    if bool(args.models) + args.paper_tables + args.zoo != 1:
        raise InputError("give configs or names, or --paper-tables or --zoo alone")
    if args.shape and (min(args.shape) < 1 or args.shape[0] * args.shape[1] > 2**28):
        raise InputError(f"--shape {args.shape[0]} {args.shape[1]}: must be 1 to {2**28} pixels")
    return args


def main(args: argparse.Namespace) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # the hosts print while they are imported
        from mixnet_dense.costs import cells, report, zoo

        if args.zoo:
            document = Path("docs", "model_zoo.md")
            if not document.is_file():
                raise InputError(f"--zoo: no {document} here; run it in the repository")
            configs = Path("configs")
            document.write_text(zoo.with_tables(document.read_text(), configs))
            (configs / "metafile.yml").write_text(zoo.metafile(configs))
            return
        if args.paper_tables:
            found = cells.cells()
            rows, text = [cell.json() for cell in found], report.paper_text(found)
        else:
            rows = [report.model_row(name, args.shape) for name in args.models]
            text = report.model_text(rows, args.stages)
            rows = rows if args.stages else [report.without_stages(row) for row in rows]
    print(json.dumps(rows, indent=1) if args.json else text)


if __name__ == "__main__":
    run(lambda: main(parse_args()))
