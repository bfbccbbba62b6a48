"""Evaluate a checkpoint: python tools/test.py CONFIG CHECKPOINT --out metrics.json"""

import argparse

from mixnet_dense.cli import add_config_arguments, add_runner_arguments, parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("checkpoint", help="weights of that config's model, or an exported file")
    add_runner_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help='write {"metrics": {…}} as JSON')
    parser.add_argument("--report", metavar="DIR", help="write a page, metrics and predictions")
    detection = parser.add_argument_group("detection")
    detection.add_argument(
        "--format-only", metavar="PREFIX", help="no metrics: PREFIX.bbox.json for COCO's server"
    )
    segmentation = parser.add_argument_group("segmentation")
    segmentation.add_argument(
        "--tta", action="store_true", help="average over scales and mirrored images"
    )
    segmentation.add_argument(
        "--slide", action="store_true", help="test overlapping windows, not whole images"
    )
    segmentation.add_argument(
        "--submission", metavar="DIR", help="no metrics: label ids for Cityscapes' test server"
    )
    args = parse(parser, argv)
    for flag in ("format_only", "submission"):
        if getattr(args, flag) and (args.out or args.report):
            flag = flag.replace("_", "-")
            raise InputError(f"--{flag} has no metrics: leave out --out and --report")
    return args


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.engine import variants
    from mixnet_dense.engine.config import load_config, open_model
    from mixnet_dense.engine.evaluate import evaluate
    from mixnet_dense.engine.runner import launch

    config = load_config(args.config, args.cfg_options)
    launch(config, args.launcher)
    if args.slide:
        config = variants.with_windows(config)
    model = open_model(config, args.checkpoint)
    if args.tta:
        config, model = variants.with_augmentation(config, model)
    if args.format_only:
        written = variants.write_detections(config, model, args.format_only, args.work_dir)
        print(f"\n{written} is written")
    elif args.report:
        from mixnet_dense.report.run import report

        options = dict(checkpoint=args.checkpoint, folder=args.work_dir, metrics_out=args.out)
        report(config, model, args.report, **options)
        print(f"\n{args.report}/index.html is the report, metrics.json has its numbers")
    elif args.submission:
        zipped = variants.submit(config, model, args.submission, args.work_dir)
        print(f"\n{zipped} is ready to be uploaded")
    else:
        evaluate(config, model, folder=args.work_dir, out=args.out, inputs=[args.checkpoint])


if __name__ == "__main__":
    run(lambda: main(parse_args()))
