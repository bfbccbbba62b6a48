"""Draw a training's curves: python tools/analyze.py WORK_DIR"""

import argparse
import json
from pathlib import Path

from mixnet_dense.cli import parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work_dir", type=Path, help="of tools/train.py, such as work_dirs/NAME")
    parser.add_argument("--out", type=Path, help="picture: .png, .svg or .pdf (curves.png there)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    return parse(parser, argv)


def main(args: argparse.Namespace) -> None:
    from mixnet_dense.engine.curves import draw_curves, in_words, read_log, summary
    from mixnet_dense.files import check_writable, written_whole

    log, out = read_log(args.work_dir), args.out or args.work_dir / "curves.png"
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--out {out}: must end in .png, .svg or .pdf")
    check_writable(str(out))
    with written_whole(out) as partial:
        draw_curves(log).savefig(partial, dpi=150)
    numbers = summary(log)
    print(json.dumps(numbers) if args.json else f"{in_words(numbers)}\n{out} is written")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
