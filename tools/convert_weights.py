"""Convert other libraries' weights: convert_weights.py SRC DST --source timm --model NAME"""

import argparse
from collections import Counter

from mixnet_dense.cli import parse, run
from mixnet_dense.errors import InputError


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "src", help=".pth or .safetensors, timm://NAME or tv://NAME, a TensorFlow graph or .tflite"
    )
    parser.add_argument("dst", help="file to write, .pth or .safetensors")
    parser.add_argument("--source", required=True, help="timm, torchvision, tensorflow, mmdet …")
    parser.add_argument("--model", required=True, help="its name in that library")
    parser.add_argument(
        "--classifier", action="store_true", help="for build_classifier, not for a backbone"
    )
    parser.add_argument("--reverse", action="store_true", help="from our keys to theirs")
    parser.add_argument(
        "--allow-partial", action="store_true", help="write what fits, and say what does not"
    )
    parser.add_argument(
        "--trust-checkpoint", action="store_true", help="load checkpoints that can run code"
    )
    args = parse(parser, argv)
    if args.reverse and (args.allow_partial or args.classifier):
        raise InputError("--reverse goes without --allow-partial and --classifier")
    return args


def read_layers(location: str, model: str, reverse: bool) -> dict:
    """Return a TensorFlow graph's layers, and print what else it has."""
    from mixnet_dense.weights.catalogue import find
    from mixnet_dense.weights.tensorflow_graph import read_graph
    from mixnet_dense.weights.tensorflow_rules import layers

    if reverse:
        raise InputError("--reverse: TensorFlow graphs are read, not written")
    state_dict, others = layers(read_graph(location), find("tensorflow", model).eps)
    scopes = Counter(name.partition("/")[0] for name in others)
    print(
        f"left out: {len(others)} constants of no layer (shapes, anchors, preprocessing):",
        ", ".join(f"{count} in {scope}" for scope, count in sorted(scopes.items())),
    )
    return state_dict


def main(args: argparse.Namespace) -> None:
    from mixnet_dense import checkpoints as files
    from mixnet_dense.files import check_writable
    from mixnet_dense.weights import catalogue, hub
    from mixnet_dense.weights.conversion import plan, revert

    files.check_suffix(args.dst)
    check_writable(args.dst, [args.src])
    name = f"{args.source} {args.model}"
    meta = catalogue.metadata(args.source, args.model)
    if hub.origin_of(args.src):
        if hub.origin_of(args.src) != (args.source, args.model):
            raise InputError(f"{args.src}: is not {name}")
        state_dict, own = hub.fetch(args.src), {}
    elif args.source == "tensorflow":
        state_dict, own = read_layers(args.src, args.model, args.reverse), {}
    else:
        state_dict, own = files.read(args.src)
    if args.reverse:
        if own.get("converted", meta["converted"]) != meta["converted"]:
            came_from = "{source} {model}".format(**own["converted"])
            raise InputError(f"{args.src}: came from {came_from}, not {name}")
        theirs = revert(state_dict, args.source, args.model)
        files.write(args.dst, theirs, {})
        print(f"{args.dst}: {len(theirs)} keys of {name}")
        return
    found = plan(state_dict, args.source, args.model, classifier=args.classifier)
    for kind, keys in (
        ("missing", found.missing),
        ("not of this model", found.left_over),
        ("of another shape", found.mismatched),
    ):
        print(*(f"{kind}: {key}" for key in keys), sep="\n", end="\n" if keys else "")
    if found.outside:
        print(f"left out: {len(found.outside)} keys that are not of the backbone")
    if found.faults and not args.allow_partial:
        raise InputError(f"{args.src}: is not {name}: {found.faults}; nothing written")
    if not found.state_dict:
        raise InputError(f"{args.src}: has no key of {name}; nothing written")
    files.write(args.dst, found.state_dict, meta)
    ours = len(found.state_dict)
    print(f"{args.dst}: {ours} keys, from {found.used} of {len(state_dict)} of {name}")


if __name__ == "__main__":
    run(lambda: main(parse_args()))
