"""Time networks and configs against plain algorithms: python tools/benchmark.py mixnet_s"""

import argparse
import contextlib
import json
import os
import re
import sys

from mixnet_dense.cli import parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="configs, or mixnet_s, mobilenetv3_large …")
    parser.add_argument(
        "--mode",
        nargs="+",
        default=["inference"],
        choices=("inference", "train", "layers", "layers-train", "predict", "data"),
        help="layers, layers-train: every algorithm of every layer with channel groups; "
        "predict: from a decoded image to boxes or classes, needs --checkpoint; "
        "data: a config's training pipeline",
    )
    parser.add_argument("--batch", nargs="+", type=int, default=[1], help="images a call")
    parser.add_argument("--size", nargs="+", default=["320"], help="pixels, or as 512x1024")
    parser.add_argument("--threads", type=int, default=1, help="of torch, on a CPU")
    parser.add_argument("--repeats", type=int, default=20, help="rounds; all run once in each")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--amp", action="store_true", help="bf16, or fp16 on a GPU without it")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too")
    parser.add_argument(
        "--compare", action="store_true", help="time the same network of timm, mmdet, torchvision"
    )
    parser.add_argument("--formats", nargs="+", default=[], help="time exported files: onnx …")
    parser.add_argument("--checkpoint", help="weights for --mode predict")
    parser.add_argument("--files", nargs="+", default=[], help="exported, for --mode predict")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="data")
    parser.add_argument("--json", action="store_true", help="rows as JSON on standard output")
    parser.add_argument("--plot", metavar="FILE", help="draw the medians, .png or .svg")
    args = parse(parser, argv)
    _check(args)
    args.size = [_size(text) for text in args.size]
    return args


def _check(args: argparse.Namespace) -> None:
    """Raise InputError where options do not go together."""
    if min(args.threads, args.repeats, *args.batch) < 1:
        raise InputError("--threads, --repeats and --batch must be 1 or more")
    if "data" in args.mode and (args.mode != ["data"] or len(args.models) != 1 or args.plot):
        raise InputError("--mode data goes alone, with one config and without --plot")
    if ("predict" in args.mode) != bool(args.checkpoint) or (args.checkpoint and args.models[1:]):
        raise InputError("--mode predict and --checkpoint go together, with one config")
    if args.device != "cpu" and (args.formats or "predict" in args.mode):
        raise InputError("--device: exported files and --mode predict are timed on the CPU only")
    if args.plot and not args.plot.endswith((".png", ".svg")):
        raise InputError(f"--plot {args.plot}: must end in .png or .svg")
    if args.files and "predict" not in args.mode:
        raise InputError("--files: are for --mode predict")
    if args.cfg_options and "data" not in args.mode:
        raise InputError("--cfg-options: are for --mode data")


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)?", text):
        raise InputError(f"--size {text}: must be pixels such as 320 or 512x1024")
    height, _, width = text.partition("x")
    height, width = int(height), int(width or height)
    if height * width > 2**25:
        raise InputError(f"--size {text}: at most {2**25} pixels can be timed")
    return height, width


def main(args: argparse.Namespace) -> None:
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # else torch's profiler prints each start
    import torch

    from mixnet_dense.benchmark import exported, pipeline, presentation, rows
    from mixnet_dense.engine.config import load_config
    from mixnet_dense.engine.memory import keep_freed_memory
    from mixnet_dense.files import check_writable

    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU here")
    exported.check(args.formats, args.models)
    if args.plot:
        check_writable(args.plot)
    keep_freed_memory()  # as in training; it serves the reference too
    where = presentation.machine(args.device, args.threads)
    with contextlib.redirect_stdout(sys.stderr):  # the hosts print while they are imported
        if args.mode == ["data"]:
            config = load_config(args.models[0], args.cfg_options)
            found = pipeline.time_pipeline(config, args.repeats)
            text = pipeline.table(found)
        else:
            found = list(rows.time_models(args))
            text = presentation.table(found)
    if args.plot:
        presentation.plot(found, args.plot)
    if args.json:
        print(json.dumps(dict(machine=where, rows=found), indent=1))
    else:
        print(text)
        print(", ".join(f"{key} {value}" for key, value in where.items() if value is not None))


if __name__ == "__main__":
    run(lambda: main(parse_args()))
