"""Time a config's network, as a whole and piece by piece: python tools/latency.py CONFIG"""

import argparse
import contextlib
import json
import sys

from mixnet_dense.adapt.options import add_latency_arguments, check_size
from mixnet_dense.cli import add_config_arguments, parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    add_latency_arguments(parser)
    parser.add_argument(
        "--table",
        default="latency.csv",
        metavar="FILE",
        help="CSV of piece, size, threads, runtime, device, ms: rows that it lacks are measured "
        "and added (latency.csv)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parse(parser, argv)
    if min(args.threads, args.repeats, *(args.size or [1])) < 1:
        raise InputError("--threads, --repeats and --size must be 1 or more")
    check_size(args.size)
    return args


def main(args: argparse.Namespace) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # the hosts print while they are imported
        from mixnet_dense.adapt import latency
        from mixnet_dense.adapt.table import read_table, write_table
        from mixnet_dense.benchmark.subjects import build_model
        from mixnet_dense.engine.config import load_config
        from mixnet_dense.files import check_writable

        where = latency.here(args.runtime, args.threads, args.device)
        table = read_table(args.table)
        check_writable(args.table)
        config = load_config(args.config, args.cfg_options)
        size = latency.image_size(config, args.size)
        model = build_model(config)
        total, new = latency.predicted(model, size, where, table, args.repeats)
        found = dict(runtime=args.runtime, device=where.device, size=size, predicted_ms=total)
        if new:
            write_table(args.table, table | new)
        if not args.device:
            measured = latency.measured(model, size, where, args.repeats)
            found.update(measured_ms=measured, error=total / measured - 1)
    if args.json:
        print(json.dumps(found))
        return
    line = f"{args.runtime}, {size[0]} x {size[1]}, {args.threads} threads, {where.device}: "
    line += f"{total:.2f} ms from {args.table}"
    if not args.device:
        line += f", {measured:.2f} ms measured, error {100 * found['error']:+.1f} %"
    print(line)


if __name__ == "__main__":
    run(lambda: main(parse_args()))
