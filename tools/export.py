"""Write a model for other runtimes: python tools/export.py CONFIG CKPT --format onnx --out FILE"""

import argparse

from mixnet_dense.cli import add_config_arguments, parse, run
from mixnet_dense.errors import InputError

VERIFIED = 3  # images


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("checkpoint", help="weights of that config's model")
    parser.add_argument(
        "--format", required=True, help="onnx, openvino, torchscript, tflite or ncnn"
    )
    parser.add_argument(
        "--out", metavar="FILE", required=True, help=".onnx, .xml, .pt, .tflite or .ncnn.param"
    )
    parser.add_argument(
        "--end-to-end", action="store_true", help="the file gives final boxes or class numbers"
    )
    parser.add_argument(
        "--preprocess", action="store_true", help="the file normalises and converts BGR to RGB"
    )
    parser.add_argument(
        "--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="of the input in pixels"
    )
    parser.add_argument("--batch", type=int, default=1, help="images of the input (1)")
    parser.add_argument("--dynamic", action="store_true", help="any batch and size")
    parser.add_argument(
        "--images", nargs="+", default=[], help="for verification (default: the test set's)"
    )
    parser.add_argument("--tolerance", type=float, default=1e-3, help="largest difference (1e-3)")
    parser.add_argument(
        "--int8",
        metavar="CONFIG",
        help="write 8-bit weights and activations: calibrate with this config's training images, "
        "and evaluate the file before and after on its test set",
    )
    args = parse(parser, argv)
    if args.size and min(args.size) < 64:
        raise InputError(f"--size {args.size[0]} {args.size[1]}: must be 64 or more")
    return args


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.engine.config import input_files, load_config
    from mixnet_dense.engine.int8 import export_int8
    from mixnet_dense.engine.samples import image_files
    from mixnet_dense.export.exporter import Request, export
    from mixnet_dense.files import check_writable
    from mixnet_dense.images import find_images, read_images
    from mixnet_dense.weights.load import load_model

    request = Request(
        args.format,
        args.out,
        size=tuple(args.size) if args.size else None,
        batch=args.batch,
        dynamic=args.dynamic,
        preprocess=args.preprocess,
        end_to_end=args.end_to_end,
        tolerance=args.tolerance,
    )
    config = load_config(args.config, args.cfg_options)
    check_writable(args.out, input_files(config, args.checkpoint, *args.images))
    model = load_model(config, args.checkpoint)
    paths = find_images(args.images) if args.images else image_files(config, "test", VERIFIED)
    images = read_images(paths[:VERIFIED])
    if args.int8:
        export_int8(load_config(args.int8, args.cfg_options), model, images, request)
        print(f"{args.out}: written, int8")
    else:
        worst = max(export(model, images, request).differences.values())
        print(f"{args.out}: written, at most {worst:.2g} from PyTorch")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
