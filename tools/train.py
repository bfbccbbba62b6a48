"""Train a config: python tools/train.py configs/ssdlite_mixnet.py"""

import argparse

from mixnet_dense.cli import add_config_arguments, add_runner_arguments, parse, run


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    add_runner_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CKPT",
        help="go on from CKPT, or from the newest complete checkpoint of the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument("--compile", action="store_true", help="torch.compile the backbone")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate with the images of a step (auto_scale_lr.base_batch_size)",
    )
    parser.add_argument(
        "--no-check", action="store_true", help="do not look at annotations and images first"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="try two steps; say what it takes",
    )
    return parse(parser, argv)


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.engine.config import load_config
    from mixnet_dense.engine.dry_run import dry_run
    from mixnet_dense.engine.runner import launch
    from mixnet_dense.engine.train import train

    config = load_config(args.config, args.cfg_options)
    launch(config, args.launcher)
    options = dict(
        resume=args.resume, amp=args.amp, compiled=args.compile, scale_lr=args.auto_scale_lr,
        check=not args.no_check,
    )  # fmt: skip
    if args.dry_run:
        print("", *dry_run(config, args.work_dir, **options), sep="\n")
    else:
        train(config, args.work_dir, **options)


if __name__ == "__main__":
    run(lambda: main(parse_args()))
