"""Make a web page that runs a model: python tools/demo_page.py model.onnx --out page"""

import argparse

from mixnet_dense.cli import parse, run


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="of tools/export.py --format onnx --end-to-end")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a new folder for the page")
    parser.add_argument(
        "--runtime",
        metavar="PATH",
        help="npm's package onnxruntime-web, its .tgz or unpacked (default: fetched once by npm)",
    )
    return parse(parser, argv)


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.export.demo_page import write

    write(args.model, args.out, args.runtime)
    print(f"{args.out} is written; python -m http.server --directory {args.out}")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
