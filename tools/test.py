"""Evaluate a checkpoint: python tools/test.py CONFIG CHECKPOINT --out metrics.json"""

import argparse

from mixnet_dense.cli import add_config_arguments, add_runner_arguments, parse, run


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("checkpoint", help="weights of that config's model")
    add_runner_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help='write {"metrics": {…}} as JSON')
    parser.add_argument("--report", metavar="DIR", help="write metrics, predictions and pictures")
    return parse(parser, argv)


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.engine.setup import load_config
    from mixnet_dense.evaluation.run import evaluate

    config = load_config(args.config, args.cfg_options)
    evaluate(
        config,
        args.checkpoint,
        folder=args.work_dir,
        launcher=args.launcher,
        out=args.out,
        report=args.report,
    )
    if args.report:
        print(f"\nmetrics.json, predictions.json and pictures are in {args.report}")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
