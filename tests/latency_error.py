"""Error of the latency model: tables near a config's, predicted from pieces and measured whole.

    python tests/latency_error.py configs/ssdlite_mixnet_sample.py --runtime onnx

Each table is the config's after 1 to 12 random changes of `adapt.proposals`, the same ones each
time. One thread. The table of pieces is kept in memory, as a search keeps it.
"""

import argparse
import random
import statistics
import time

from mixnet_dense.adapt import latency, proposals
from mixnet_dense.adapt.clock import timed_model
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
    parser.add_argument("--runtime", default="eager")
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    where, known, errors = latency.here(args.runtime, 1), {}, []
    config, draws = load_config(args.config), random.Random(0)
    size = latency.image_size(config)
    network = build_model(config).backbone.network
    for number in range(args.tables + 1):  # the config's own is table 0
        model = timed_model(config, draw(network, draws) if number else network)
        started = time.perf_counter()
        total, new = latency.predicted(model, size, where, known, args.repeats)
        seconds, known = time.perf_counter() - started, known | new
        whole = latency.measured(model, size, where, 3 * args.repeats)
        errors.append(total / whole - 1)
        line = f"{number} {total:.2f} ms predicted, {whole:.2f} measured, {100 * errors[-1]:+.1f} %"
        print(f"{line}, {len(new)} new pieces in {seconds:.1f} s", flush=True)
    sizes = [100 * abs(error) for error in errors[1:]]
    print(f"{args.runtime}: mean error {statistics.mean(sizes):.1f} %, largest {max(sizes):.1f} %")


if __name__ == "__main__":
    main()
