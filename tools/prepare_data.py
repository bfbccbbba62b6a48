"""Prepare data: `sample` makes a set, `cityscapes` prepares your copy, `shards` packs one."""

import argparse
from pathlib import Path

from mixnet_dense.cli import parse, run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line, or ``argv`` when given."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sample = commands.add_parser(
        "sample",
        help="a small COCO and Cityscapes set from photos inside two pip packages, no download",
        description="Write a small set in COCO's and in Cityscapes' layout, made from real "
        "photographs, coins and handwritten digits inside scikit-image and scikit-learn.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sample.add_argument(
        "--out", type=Path, default=Path("data/sample"), help="folder to write; must not exist yet"
    )
    sample.add_argument("--train", type=int, default=2800, help="number of training images")
    sample.add_argument("--val", type=int, default=150, help="number of validation images")
    sample.add_argument("--seed", type=int, default=0, help="another seed gives other images")
    sample.add_argument(
        "--force", action="store_true", help="replace an older sample; never any other folder"
    )
    cityscapes = commands.add_parser(
        "cityscapes",
        help="write training ids for the unpacked zip files of Cityscapes",
        description="Check every image with its label ids and write *_gtFine_labelTrainIds.png "
        "beside them. Can be interrupted and started again.",
    )
    cityscapes.add_argument(
        "root", type=Path, nargs="?", default=Path("data/cityscapes"),
        help="folder of leftImg8bit/ and gtFine/ (data/cityscapes)",
    )  # fmt: skip
    shards = commands.add_parser(
        "shards",
        help="pack the images and label maps of a config into tar files",
        description="Write the images and label maps of a config's datasets into tar files of "
        "WebDataset's kind, with an index. A folder of such files gets an index alone.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    shards.add_argument("config", help="a config's file or name, or a folder of tar files")
    shards.add_argument("--out", type=Path, default=Path("data/shards"), help="folder to write")
    shards.add_argument("--shard-mb", type=float, default=256, help="megabytes of a tar file")
    shards.add_argument("--url", default="", help="where the tar files will be read from")
    shards.add_argument(
        "--cache-gb", type=float, default=50, help="of the tar files at --url, on each machine"
    )
    shards.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="change the config"
    )
    return parse(parser, argv)


def prepare_sample(args: argparse.Namespace) -> None:
    """Write the embedded sample and say what is in it."""
    from mixnet_dense.sample.build import build_sample

    summary = build_sample(args.out, args.train, args.val, args.seed, args.force)
    if summary is None:
        print(f"{args.out} already holds this sample; nothing to do")
        return
    for split, counts in summary.items():
        print(f"{split}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    print(f"wrote {args.out}; look at {args.out / 'preview.jpg'} and {args.out / 'README.md'}")


def prepare_cityscapes(args: argparse.Namespace) -> None:
    """Write the training ids and say how many."""
    from mixnet_dense.seg.prepare import prepare

    for split, counts in prepare(args.root).items():
        print(f"{split}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


def prepare_shards(args: argparse.Namespace) -> None:
    """Write tar files and their index, or the index alone, and say what is in them."""
    from mixnet_dense.engine.config import load_config
    from mixnet_dense.engine.shards import index_folder, write_shards

    place = dict(url=args.url, cache_gb=args.cache_gb)
    if Path(args.config).is_dir():
        print(f"{index_folder(Path(args.config), **place)} files")
        return
    config = load_config(args.config, args.cfg_options)
    for split, count in write_shards(config, args.out, args.shard_mb, **place).items():
        print(f"{split}: {count} files")
    print(f'wrote {args.out}; in the config: data_root="shards://{args.out}"')


def main(args: argparse.Namespace) -> None:
    """Run the chosen command."""
    commands = {
        "sample": prepare_sample,
        "cityscapes": prepare_cityscapes,
        "shards": prepare_shards,
    }
    commands[args.command](args)


if __name__ == "__main__":
    run(lambda: main(parse_args()))
