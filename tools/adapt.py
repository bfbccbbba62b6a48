"""Fit a trained model's network to a latency: python tools/adapt.py CONFIG CKPT --budget 70%"""

import argparse
from pathlib import Path

from mixnet_dense.adapt.options import add_latency_arguments, check_size
from mixnet_dense.cli import add_config_arguments, add_launcher_arguments, parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.replace("%", "%%"))
    add_config_arguments(parser)
    parser.add_argument("checkpoint", help="of the config's model, or a work dir")
    parser.add_argument("--budget", required=True, help="such as 8ms, or 70%% of the latency now")
    parser.add_argument("--work-dir", required=True, metavar="DIR", help="for all that is written")
    add_latency_arguments(parser)
    parser.add_argument("--table", metavar="FILE", help="of latencies (DIR/latency.csv)")
    parser.add_argument(
        "--delta", type=float, default=0.02, help="share of the latency that a step saves (0.02)"
    )
    parser.add_argument("--steps", type=int, default=30, help="of training for each proposal (30)")
    parser.add_argument(
        "--proposals",
        type=int,
        default=6,
        help="that a step tries again, those that were best before; 0: all (6)",
    )
    parser.add_argument(
        "--holdout", type=int, default=300, help="training images to evaluate on (300)"
    )
    parser.add_argument("--resume", action="store_true", help="go on where DIR's search stopped")
    parser.add_argument(
        "--from-nothing", action="store_true", help="train what is found from random weights"
    )
    parser.add_argument("--no-train", action="store_true", help="do not train what is found")
    add_launcher_arguments(parser, "none", "pytorch")
    args = parse(parser, argv)
    positive = (args.threads, args.repeats, args.steps, args.holdout, *(args.size or [1]))
    if min(*positive, args.proposals + 1) < 1:
        raise InputError(
            "--threads, --repeats, --steps, --holdout and --size must be 1 or more, --proposals "
            "0 or more"
        )
    check_size(args.size)
    if not 0 < args.delta < 1:
        raise InputError(f"--delta {args.delta}: must be between 0 and 1")
    return args


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.adapt.choice import parse_budget
    from mixnet_dense.adapt.clock import Clock
    from mixnet_dense.adapt.latency import here
    from mixnet_dense.adapt.result import write_found
    from mixnet_dense.adapt.search import Plan, Search
    from mixnet_dense.adapt.together import Together
    from mixnet_dense.engine.check import check_before_training
    from mixnet_dense.engine.config import check_files, load_config
    from mixnet_dense.engine.runner import launch, work_dir
    from mixnet_dense.engine.train import train
    from mixnet_dense.files import check_writable, remove_leftovers

    parse_budget(args.budget)
    config = load_config(args.config, args.cfg_options)
    together = Together(args.launcher)
    check_files(config, ("train", "val"))
    where, clock = here(args.runtime, args.threads, args.device), None
    folder = Path(work_dir(config, args.work_dir))
    if together.rank == 0:
        check_before_training(config)
        for part in (folder, folder / "search"):
            remove_leftovers(part)
        table = Path(args.table or folder / "latency.csv")
        check_writable(str(table))
        clock = Clock(config, where, table, args.repeats, args.size)
    plan = Plan(args.budget, args.delta, args.steps, args.proposals, args.holdout)
    search = Search(config, args.checkpoint, plan, clock, folder / "search", together)
    found = search.run(args.resume)
    if together.rank == 0:
        out = write_found(found, config, args.cfg_options, folder, search.trial.metric)
        print(f"{out} and found.json, found.pth, proposals.csv, proposals.png are written")
    together.gather(None)
    if found.ms > found.target:
        raise InputError(
            f"--budget {args.budget}: not reached, no proposal saves enough after "
            f"{found.ms:.2f} ms; what was found is in {folder}"
        )
    if not args.no_train:
        launch(config, args.launcher)
        resume = "auto" if args.resume else None
        config = load_config(str(folder / "found.py"))
        if args.from_nothing:
            config.load_from = None
        train(config, str(folder / "trained"), resume=resume, check=False)


if __name__ == "__main__":
    run(lambda: main(parse_args()))
