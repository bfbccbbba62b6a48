"""Look at augmented training images: python tools/browse.py CONFIG --out sheet.html"""

import argparse

from mixnet_dense.cli import add_config_arguments, parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("--out", required=True, metavar="FILE.html", help="one file, with pictures")
    parser.add_argument("--count", type=int, default=24, help="of images (24)")
    parser.add_argument("--seed", type=int, default=0, help="of the augmentation (0)")
    args = parse(parser, argv)
    if args.count < 1:
        raise InputError(f"--count {args.count}: must be 1 or more")
    return args


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.engine.browse import browse
    from mixnet_dense.engine.config import load_config

    browse(load_config(args.config, args.cfg_options), args.out, args.count, args.seed)
    print(f"{args.out} is written")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
