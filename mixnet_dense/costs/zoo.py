"""The tables of docs/model_zoo.md and configs/metafile.yml, from the configs and their comments.

A config begins with ``# MODEL: DATA.`` and, where a paper has measured it, ``# Paper: FIGURE.``
"""

import functools
import re
from pathlib import Path

from mmengine import fileio

from mixnet_dense.complexity import Cost
from mixnet_dense.costs.report import model_row
from mixnet_dense.errors import InputError

_VARIANTS = ("_sample", "_pretrained", "_finetune")  # a listed model with other data or weights
_HEAD = (
    "| config | model | parameters | without batch norm | multiply-adds | the paper's |\n"
    "|---|---|---:|---:|---:|---|"
)
_METAFILE_HEAD = """\
# Written by complexity.py --zoo. FLOPs are multiply-adds, as in mmpretrain's metafiles.
"""


def _collection(name: str, data: str, paper: str) -> dict:
    return {"Name": name, "Metadata": {"Training Data": data}, "Paper": {"URL": paper}}


_COLLECTIONS = {
    "ssdlite": _collection("SSDLite", "COCO", "https://arxiv.org/abs/1801.04381"),
    "lraspp": _collection("LR-ASPP", "Cityscapes", "https://arxiv.org/abs/1905.02244"),
    "raspp": _collection("R-ASPP", "Cityscapes", "https://arxiv.org/abs/1801.04381"),
}


def with_tables(document: str, configs: Path) -> str:
    """The document with a new table between each pair of markers.

    A table stands between ``<!-- zoo: PATTERN -->`` and ``<!-- end -->``; the pattern says
    which files of the folder ``configs`` it lists.
    """

    def table(found: re.Match) -> str:
        rows = [_row(path) for path in _listed(configs, found[2])]
        return "\n".join([found[1], _HEAD, *rows, "<!-- end -->"])

    return re.sub(r"(<!-- zoo: (\S+) -->).*?<!-- end -->", table, document, flags=re.DOTALL)


def metafile(configs: Path) -> str:
    """What OpenMMLab's ``mim search`` and ``mmengine.hub`` read: the listed models in YAML.

    No result is in it: these models were not trained here.
    """
    models = []
    for prefix, collection in _COLLECTIONS.items():
        for path in _listed(configs, f"{prefix}_*.py"):
            cost = _cost(path)
            models.append(
                {
                    "Name": path.stem,
                    "In Collection": collection["Name"],
                    "Config": f"configs/{path.name}",
                    "Metadata": {"Parameters": cost.params, "FLOPs": cost.macs},
                }
            )
    found = {"Collections": list(_COLLECTIONS.values()), "Models": models}
    return _METAFILE_HEAD + fileio.dump(found, file_format="yaml", sort_keys=False)


def _listed(configs: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(configs.glob(pattern)) if not path.stem.endswith(_VARIANTS)]


@functools.cache
def _cost(path: Path) -> Cost:
    row = model_row(str(path))
    return Cost(*(row[name] for name in Cost._fields))


def _row(path: Path) -> str:
    title, paper = title_and_figure(path)
    numbers = " | ".join(f"{number:,}" for number in _cost(path))
    return f"| [`{path.name}`](../configs/{path.name}) | {title} | {numbers} | {paper or '–'} |"


def title_and_figure(path: Path) -> tuple[str, str | None]:
    """A config's model in words, and what the paper measured.

    Raises:
        InputError: its first line is not ``# MODEL: DATA.``
    """
    text = path.read_text()
    title = re.match(r"# (.+): .+\.$", text, re.MULTILINE)
    if not title:
        raise InputError(f"config '{path}': must begin with '# MODEL: DATA.'")
    paper = re.search(r"^# Paper: (.+)\.$", text, re.MULTILINE)
    return title[1], paper and paper[1]
