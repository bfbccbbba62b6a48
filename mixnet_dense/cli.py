"""What the command-line tools share: arguments, and one line and exit code 2 for bad input."""

import argparse
import atexit
import os
import sys
from collections.abc import Callable
from importlib.metadata import version

from mixnet_dense.checkpoints import trust_checkpoints
from mixnet_dense.errors import InputError

_debug = False


def run(main: Callable[[], object]) -> None:
    """Run a tool's ``main``; on `InputError` print one line and exit with 2.

    Any other exception is a programming error and keeps its traceback, except that of a
    torchvision built for another torch. ``--debug`` shows the traceback of bad input too.
    """
    code = 0
    try:
        main()
    except (InputError, RuntimeError) as error:
        unfit = "operator torchvision::" in str(error)
        if _debug or not (unfit or isinstance(error, InputError)):
            raise
        line = _unfit_torchvision() if unfit else str(error)  # which may quote a broken file
        print(f"error: {''.join(c if c.isprintable() else '?' for c in line)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        code = getattr(error, "code", 130)
    if "torch.distributed" in sys.modules:
        _end_one_of_several(code)
    if code:
        sys.exit(code)


def _end_one_of_several(code: int) -> None:
    """End a process of torchrun that communicates by gloo, as multiprocessing ends its own.

    When Python clears up at its end, a thread of gloo that still frees a tensor aborts the whole
    process (SIGABRT), and torchrun then stops the others, whatever they are writing.
    """
    from torch import distributed  # the tool has imported it

    several = distributed.is_available() and distributed.is_initialized()
    if several and distributed.get_backend() == "gloo":
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _unfit_torchvision() -> str:
    ours = version("torch").partition("+")[0]
    return (
        f"torchvision {version('torchvision')} does not fit torch {ours}: "
        f"pip install --force-reinstall torchvision torch=={ours}"
    )


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every tool that reads a config."""
    parser.add_argument("config", help="a file, or a shipped config's name, such as ssdlite_mixnet")
    add_config_options(parser)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """What may go with a config."""
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="change the config"
    )
    add_trust_argument(parser)


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """The argument of every tool that loads checkpoints."""
    parser.add_argument(
        "--trust-checkpoint", action="store_true", help="load checkpoints that can run code"
    )


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the tools that run a loop, on one process or many."""
    parser.add_argument("--work-dir", metavar="DIR", help="logs and checkpoints (work_dirs/NAME)")
    add_launcher_arguments(parser, "none", "pytorch", "slurm", "mpi")


def add_launcher_arguments(parser: argparse.ArgumentParser, *launchers: str) -> None:
    """The arguments of the tools that work on one process or many."""
    parser.add_argument("--launcher", choices=launchers, default="none")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0, help="set by torchrun")


def parse(parser: argparse.ArgumentParser, argv=None) -> argparse.Namespace:
    """Parse the arguments and apply those that act on the whole process."""
    global _debug
    parser.add_argument("--debug", action="store_true", help="show tracebacks of bad input too")
    one_line(parser)
    args = parser.parse_args(argv)
    _debug = args.debug
    if "local_rank" in args:
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if getattr(args, "trust_checkpoint", False):
        trust_checkpoints()
    return args


def one_line(parser: argparse.ArgumentParser) -> None:
    """Make a wrong command line an `InputError`, without the usage before it."""

    def error(message: str) -> None:
        raise InputError(f"{parser.prog}: {message}; --help lists what there is")

    parser.error = error
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for command in action.choices.values():
            one_line(command)
