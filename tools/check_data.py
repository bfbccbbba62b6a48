"""Find what is wrong with your data before you train: python tools/check_data.py CONFIG"""

import argparse
import sys

from mixnet_dense.cli import add_config_arguments, parse, run


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Exit code 1: training would end.")
    add_config_arguments(parser)
    parser.add_argument(
        "--short", action="store_true", help="as before a training: no pixels, no copies"
    )
    parser.add_argument(
        "--fix", metavar="OUT.json", help="write a cleaned copy of the training annotations"
    )
    return parse(parser, argv)


def main(args: argparse.Namespace) -> int:
    from mixnet_dense.data.faults import stopping, table
    from mixnet_dense.engine.check import check_data
    from mixnet_dense.engine.config import load_config

    found = check_data(load_config(args.config, args.cfg_options), not args.short, args.fix)
    print(table(found) or "nothing found")
    if args.fix:
        print(f"{args.fix} is written")
    return int(bool(stopping(found)))


if __name__ == "__main__":
    run(lambda: sys.exit(main(parse_args())))
