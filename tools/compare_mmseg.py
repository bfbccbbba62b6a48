"""Compare our LR-ASPP with mmseg's on the sample: python tools/compare_mmseg.py"""

import argparse

from mixnet_dense.cli import parse, run
from mixnet_dense.errors import InputError

CONFIG = "configs/lraspp_mobilenetv3_small_sample.py"


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--config", default=CONFIG, help="our config; its data are for both")
    parser.add_argument("--iterations", type=int, default=300, help="training steps of each")
    parser.add_argument("--batch", type=int, default=4, help="images a step")
    parser.add_argument(
        "--size", type=int, default=512, help="pixels of a side; mmseg's head needs 385 or more"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and image order")
    parser.add_argument(
        "--work-dir", default="work_dirs/compare_mmseg", help="logs and checkpoints of both"
    )
    parser.add_argument("--out", metavar="FILE", help="write the rows as JSON too")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    args = parse(parser, argv)
    if min(args.iterations, args.batch) < 1 or args.size < 385:
        raise InputError("--iterations and --batch must be 1 or more, --size 385 or more")
    return args


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.benchmark.mmseg_comparison import alike, table, train_and_evaluate
    from mixnet_dense.engine.config import check_files, load_config
    from mixnet_dense.files import check_writable, write_json

    if args.out:
        check_writable(args.out)
    config = load_config(args.config, args.cfg_options)
    check_files(config, ("train", "test"))
    configs = alike(config, args.size, args.batch, args.iterations, args.seed)
    rows = train_and_evaluate(configs, args.work_dir)
    if args.out:
        write_json(args.out, dict(**vars(args), models=rows))
    print(table(rows))


if __name__ == "__main__":
    run(lambda: main(parse_args()))
