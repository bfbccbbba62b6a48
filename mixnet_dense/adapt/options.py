"""Arguments of the tools that time a config's network; without torch."""

import argparse
from collections.abc import Sequence

from mixnet_dense.errors import InputError

_MOST_PIXELS = 2**25


def add_latency_arguments(parser: argparse.ArgumentParser) -> None:
    """What a latency depends on besides the network; see `latency.Where`."""
    parser.add_argument(
        "--runtime", default="eager", help="eager (default), onnx, openvino or tflite"
    )
    parser.add_argument("--threads", type=int, default=1, help="of the runtime (1)")
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help="of the images")
    parser.add_argument("--repeats", type=int, default=20, help="rounds of a measurement (20)")
    parser.add_argument(
        "--device", help="take all rows of this other device from the table and measure nothing"
    )


def check_size(size: Sequence[int] | None) -> None:
    """Check ``--size`` against the largest that is timed.

    Raises:
        InputError: it is larger.
    """
    if size and size[0] * size[1] > _MOST_PIXELS:
        raise InputError(f"--size {size[0]} {size[1]}: at most {_MOST_PIXELS} pixels")
