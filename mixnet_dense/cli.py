"""What the command-line tools share: arguments, and one line and exit code 2 for bad input."""

import argparse
import os
import sys
from collections.abc import Callable


class InputError(ValueError):
    """Something the user gave is wrong; the message is one line that names it.

    The message says what was found and what is allowed. Tools print it without
    a traceback and exit with 2.
    """


def run(main: Callable[[], object]) -> None:
    """Run a tool's ``main``; on `InputError` print one line and exit with 2."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every tool that reads a config."""
    parser.add_argument("config", help="config file, such as configs/ssdlite_mixnet.py")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="change the config"
    )
    parser.add_argument(
        "--trust-checkpoint", action="store_true", help="load checkpoints that can run code"
    )


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the tools that run a loop, on one process or many."""
    parser.add_argument("--work-dir", metavar="DIR", help="logs and checkpoints (work_dirs/NAME)")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0, help="set by torchrun")


def parse(parser: argparse.ArgumentParser, argv=None) -> argparse.Namespace:
    """Parse, and apply what acts on the whole process."""
    args = parser.parse_args(argv)
    if "local_rank" in args:
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if getattr(args, "trust_checkpoint", False):
        from mixnet_dense.compat import trust_checkpoints

        trust_checkpoints()
    return args
