"""Parameters and multiply-adds: python tools/complexity.py configs/ssdlite_mixnet.py mixnet_s"""

import argparse
import contextlib
import json
import sys

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
    parser.add_argument(
        "--stages",
        action="store_true",
        help="split the cost over stages",
    )
    parser.add_argument(
        "--paper-tables", action="store_true", help="the papers' printed costs beside ours"
    )
    args = parse(parser, argv)
    if bool(args.models) == args.paper_tables:
        raise InputError("give configs or names, or --paper-tables alone")
    if args.shape and min(args.shape) < 1:
        raise InputError(f"--shape {args.shape[0]} {args.shape[1]}: must be positive")
    return args


def main(args: argparse.Namespace) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # the hosts print while they are imported
        from mixnet_dense.costs import report as cost_report

        if args.paper_tables:
            rows = cost_report.paper_rows()
            text = cost_report.paper_text(rows)
        else:
            rows = [cost_report.model_row(name, args.shape) for name in args.models]
            text = cost_report.model_text(rows, args.stages)
    print(json.dumps([row.json(args.stages) for row in rows], indent=1) if args.json else text)


if __name__ == "__main__":
    run(lambda: main(parse_args()))
