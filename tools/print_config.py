"""Print a whole config as one file: python tools/print_config.py ssdlite_mixnet > mine.py"""

import argparse
import contextlib
import sys

from mixnet_dense.cli import add_config_arguments, parse, run


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    return parse(parser, argv)


def main(args: argparse.Namespace) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # the hosts print while they are imported
        from mixnet_dense.engine.config import load_config

        config = load_config(args.config, args.cfg_options)
    print(config.pretty_text)


if __name__ == "__main__":
    run(lambda: main(parse_args()))
