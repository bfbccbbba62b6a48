"""Compare reports of tools/test.py: python tools/compare.py report_a report_b --out compare.html"""

import argparse

from mixnet_dense.cli import parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", nargs="+", help="folders that tools/test.py --report wrote")
    parser.add_argument("--out", default="compare.html", help="the page (compare.html)")
    args = parse(parser, argv)
    if len(args.reports) < 2:
        raise InputError(f"{args.reports[0]}: give two reports or more")
    return args


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.report.compare import compare

    print(compare(args.reports, args.out))
    print(f"\n{args.out} has this table and the images that differ most")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
