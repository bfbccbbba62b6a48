"""Error of the latency model: tables near a config's, predicted from pieces and measured whole.

    python tests/latency_error.py configs/ssdlite_mixnet_sample.py --runtime onnx

Each table is the config's after 1 to 12 random changes of `adapt.proposals`, the same ones each
time. Pieces and whole networks are measured in common rounds, so that other load on the machine
slows all of them.
"""

import argparse
import random
import statistics

from mixnet_dense.adapt import latency, proposals
from mixnet_dense.adapt.clock import with_arch
from mixnet_dense.adapt.options import add_latency_arguments
from mixnet_dense.backbones.arch import Network
from mixnet_dense.benchmark.subjects import build_model
from mixnet_dense.engine.config import load_config


def draw(network: Network, draws: random.Random) -> Network:
    """A table after random changes; numbers of channels become at least half as large."""
    for _ in range(draws.randint(1, 12)):
        index, kind = draws.randrange(len(network.blocks)), draws.randrange(3)
        block, new = network.blocks[index], None
        if kind == 0:
            half = [c for c in proposals.snapped(block.expansion) if 2 * c >= block.expansion]
            new = proposals.with_expansion(network, index, draws.choice(half)) if half else None
        elif kind == 1:
            group = draws.choice(proposals.shared_bottlenecks(network))
            own = network.stem if group[0] < 0 else network.blocks[group[0]].out_channels
            half = [c for c in proposals.snapped(own) if 2 * c >= own]
            new = proposals.with_bottleneck(network, group, draws.choice(half)) if half else None
        else:
            count = draws.randint(1, len(block.kernels))
            new = proposals.with_fewer_kernels(network, index, count)
        network = new or network
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("--tables", type=int, default=20)
    add_latency_arguments(parser)
    args = parser.parse_args()
    config, draws = load_config(args.config), random.Random(0)
    where, size = latency.here(args.runtime, args.threads), latency.image_size(config, args.size)
    network = build_model(config).backbone.network
    tables = [network, *(draw(network, draws) for _ in range(args.tables))]
    models, wanted = [build_model(with_arch(config, table)) for table in tables], {}
    for number, model in enumerate(models):
        parts = latency.pieces(model, size)
        wanted |= {where.key(*name): piece for name, (piece, _) in parts.items()}
        wanted[where.key(f"table {number}", "")] = latency.whole(model, size)
    known, errors = latency.time_pieces(wanted, where, args.repeats), []
    for number, model in enumerate(models):
        total, _ = latency.predicted(model, size, where, known, args.repeats)
        whole = known[where.key(f"table {number}", "")]
        error = 100 * (total / whole - 1)
        errors.append(abs(error))
        print(f"{number} {total:.2f} ms predicted, {whole:.2f} measured, {error:+.1f} %")
    del errors[0]  # of the config's own table, which is not random
    print(
        f"{args.runtime}, {size[0]} x {size[1]}: mean error {statistics.mean(errors):.1f} %, "
        f"median {statistics.median(errors):.1f} %, largest {max(errors):.1f} %"
    )


if __name__ == "__main__":
    main()
