"""Draw detections or segmentations: python tools/predict.py CONFIG CHECKPOINT IMAGES… --out DIR"""

import argparse

from mixnet_dense.cli import add_config_arguments, parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("checkpoint", help="weights of that config's model, or an exported file")
    parser.add_argument("images", nargs="+", help="files, folders or globs")
    parser.add_argument("--out", metavar="DIR", required=True, help="pictures, predictions.json")
    parser.add_argument("--score", type=float, default=0.3, help="draw boxes from this score on")
    args = parse(parser, argv)
    if not 0 <= args.score <= 1:
        raise InputError(f"--score {args.score}: must be between 0 and 1")
    return args


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.engine.config import load_config, open_model
    from mixnet_dense.engine.predict import predict
    from mixnet_dense.images import find_images

    config = load_config(args.config, args.cfg_options)
    images = find_images(args.images)
    predict(config, open_model(config, args.checkpoint), images, args.out, args.score)
    print(f"\npredictions.json and pictures are in {args.out}")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
