"""Record a TensorFlow graph's constants: ``python -m recorders.tensorflow_graphs GRAPH FILE``.

Names, shapes and types alone, in the file's order.
"""

import json
import sys
from pathlib import Path

from mixnet_dense.weights.tensorflow_graph import read_graph


def main(argv=None) -> None:
    graph, path = sys.argv[1:] if argv is None else argv
    rows = [
        json.dumps([name, list(array.shape), array.dtype.name])
        for name, array in read_graph(graph).constants.items()
    ]
    text = ",\n".join(rows)
    Path(path).write_text(f'{{"constants": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main()
