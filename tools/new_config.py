"""Write a config for your own labelled photos: python tools/new_config.py PHOTOS --out my.py"""

import argparse
from pathlib import Path

from mixnet_dense.cli import parse, run


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data",
        type=Path,
        help="folder of photos with COCO json, YOLO, Pascal VOC xml or labelme labels, or with "
        "label maps; nothing in it is changed",
    )
    parser.add_argument(
        "--task", choices=("detection", "segmentation"), default="detection", help="(detection)"
    )
    parser.add_argument(
        "--model", help="name of a file in configs/ (that of the weights, else a MobileNetV3)"
    )
    parser.add_argument(
        "--weights", metavar="CKPT", help="begin from a trained model: a checkpoint, or the name "
        "of a published model, such as ssdlite_mobilenetv2_coco",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, help="config to write, such as my.py; its labels go "
        "into my_labels/ beside it",
    )  # fmt: skip
    return parse(parser, argv)


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.data.recipe import write_config
    from mixnet_dense.weights.published import begin

    weights, model = begin(args.weights) if args.weights else (None, None)
    print("\n".join(write_config(args.data, args.out, args.task, args.model or model, weights)))


if __name__ == "__main__":
    run(lambda: main(parse_args()))
