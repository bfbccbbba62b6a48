"""The tables of docs/model_zoo.md, made from the configs and their first comments.

A config begins with ``# MODEL: DATA.`` and, where a paper has measured it, ``# Paper: FIGURE.``
"""

import re
from pathlib import Path

from mixnet_dense.costs.report import model_row
from mixnet_dense.errors import InputError

_VARIANTS = ("_sample", "_pretrained", "_finetune")  # a listed model with other data or weights
_HEAD = (
    "| config | model | parameters | without batch norm | multiply-adds | the paper's |\n"
    "|---|---|---:|---:|---:|---|"
)


def with_tables(document: str, configs: Path) -> str:
    """The document with a new table between each pair of markers.

    A table stands between ``<!-- zoo: PATTERN -->`` and ``<!-- end -->``; the pattern says
    which files of the folder ``configs`` it lists.
    """

    def table(found: re.Match) -> str:
        paths = sorted(configs.glob(found[2]))
        rows = [_row(path) for path in paths if not path.stem.endswith(_VARIANTS)]
        return "\n".join([found[1], _HEAD, *rows, "<!-- end -->"])

    return re.sub(r"(<!-- zoo: (\S+) -->).*?<!-- end -->", table, document, flags=re.DOTALL)


def _row(path: Path) -> str:
    title, paper = title_and_figure(path)
    cost = model_row(str(path)).analysis.cost
    numbers = " | ".join(f"{number:,}" for number in cost)
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
