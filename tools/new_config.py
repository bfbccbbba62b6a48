"""Write a config for your own labelled photos: python tools/new_config.py PHOTOS --out my.py"""

import argparse
from pathlib import Path

from mixnet_dense.cli import parse, run

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "data",
        type=Path,
        help="folder of photos with COCO json, YOLO, Pascal VOC xml or labelme labels, or with "
        "label maps; nothing in it is changed",
    )
    parser.add_argument("--task", choices=("detection", "segmentation"), default="detection")
    parser.add_argument(
        "--model", default="ssdlite_mobilenetv3_large", help="name of a file in configs/"
    )
    parser.add_argument("--weights", metavar="CKPT", help="a checkpoint to begin from")
    parser.add_argument(
        "--out", type=Path, required=True, help="config to write, such as my.py; its labels go "
        "into my_labels/ beside it",
    )  # fmt: skip
    return parse(parser, argv)


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.data.recipe import Request, write_config

    request = Request(args.data, args.task, args.model, args.out, CONFIGS, args.weights)
    print("\n".join(write_config(request)))


if __name__ == "__main__":
    run(lambda: main(parse_args()))
