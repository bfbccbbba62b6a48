"""Draw what a model finds in images: the model of a config, or a published one by its name."""

import argparse

from mixnet_dense.cli import add_config_arguments, add_config_options, one_line, parse, run
from mixnet_dense.errors import InputError

USAGE = """%(prog)s CONFIG CHECKPOINT IMAGES… --out DIR [options]
       %(prog)s --model NAME [--checkpoint FILE] IMAGES… --out DIR [options]"""


def parse_args(argv=None) -> argparse.Namespace:
    names = argparse.ArgumentParser(add_help=False, usage=USAGE)
    one_line(names)
    names.add_argument(
        "--model", metavar="NAME", help="in place of CONFIG and CHECKPOINT: see docs/weights.md"
    )
    parser = argparse.ArgumentParser(description=__doc__, usage=USAGE, parents=[names])
    named = names.parse_known_args(argv)[0].model is not None
    if named:
        add_config_options(parser)
    else:
        add_config_arguments(parser)
        parser.add_argument(
            "checkpoint", help="weights of that config's model, or an exported file"
        )
    parser.add_argument(
        "images", nargs="+", help="files, folders or globs; or one video, or a camera's number"
    )
    parser.add_argument(
        "--checkpoint",
        dest="given",
        metavar="FILE",
        help="with --model: a file, folder or address to take its weights from",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        required=True,
        help="pictures, predictions.json; of a video an .mp4 or .avi file",
    )
    parser.add_argument("--compile", action="store_true", help="videos: compile for a minute first")
    parser.add_argument("--score", type=float, default=0.3, help="draw boxes from this score on")
    args = parse(parser, argv)
    if args.given and not named:
        parser.error("--checkpoint goes with --model; without it, CHECKPOINT follows CONFIG")
    if named and args.images[0].endswith(".py"):
        parser.error(f"--model NAME stands in place of CONFIG and CHECKPOINT: {args.images[0]}")
    if not 0 <= args.score <= 1:
        raise InputError(f"--score {args.score}: must be between 0 and 1")
    return args


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.engine.config import load_config, open_model
    from mixnet_dense.engine.predict import predict
    from mixnet_dense.engine.video import open_predictor, predict_video
    from mixnet_dense.images import find_images, is_video
    from mixnet_dense.weights import published

    if args.model is not None:
        args.config = published.find(args.model).config
    config = load_config(args.config, args.cfg_options)
    videos = [source for source in args.images if is_video(source)]
    if videos and args.images[1:]:
        raise InputError(f"{videos[0]}: a video or a camera goes alone")
    images = [] if videos else find_images(args.images)
    if args.model is not None:
        args.checkpoint = published.fetch(args.model, args.given)
    if videos:
        predictor = open_predictor(config, args.checkpoint, args.compile)
        frames = predict_video(predictor, videos[0], args.out, args.score)
        print(f"{args.out}: {frames} frames")
        return
    predict(config, open_model(config, args.checkpoint), images, args.out, args.score)
    print(f"\npredictions.json and pictures are in {args.out}")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
