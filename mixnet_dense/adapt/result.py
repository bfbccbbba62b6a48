"""What a search leaves: table and weights, a short config for them, what was tried, a picture."""

import copy
import os
import shutil
from pathlib import Path

from mmengine.config import Config

from mixnet_dense.adapt.choice import draw, path, write_rows
from mixnet_dense.adapt.clock import PARTS
from mixnet_dense.adapt.search import Found
from mixnet_dense.backbones.found import write_network
from mixnet_dense.files import written_whole

_HISTORY = ("step", "what", "measured_ms", "accuracy")
_ARCH, _WEIGHTS = (  # mmengine puts the config's folder there
    "{{ fileDirname }}/found.json", "{{ fileDirname }}/found.pth"
)  # fmt: skip


def write_found(found: Found, config: Config, options: list[str], folder: Path, metric: str):
    """Write ``found.json``, ``found.pth``, ``found.py``, ``proposals.csv``, ``proposals.png``.

    Args:
        config, options: as `config.load_config` made it from these ``--cfg-options``.
        metric: its name.

    Returns:
        The config's path.
    """
    history = [{name: row[name] for name in _HISTORY} for row in path(found.rows)]
    write_network(folder / "found.json", found.network, history)
    with written_whole(folder / "found.pth") as partial:
        shutil.copyfile(found.weights, partial)
    write_rows(folder / "proposals.csv", found.rows, found.target)
    with written_whole(folder / "proposals.png") as partial:
        draw(found.rows, found.target, metric).savefig(partial, dpi=150)
    out = folder / "found.py"
    with written_whole(out) as partial:
        if options:
            whole = copy.deepcopy(config)
            whole.model.backbone.arch, whole.load_from = _ARCH, _WEIGHTS
            for part in PARTS:
                (whole.model.get(part) or {}).pop("in_channels", None)
            whole.dump(partial)
        else:
            partial.write_text(_short(config, out), "utf-8")
    return out


def _short(config: Config, out: Path) -> str:
    model = {"backbone": {"arch": _ARCH}}
    for part in PARTS:
        given = config.model.get(part) or {}
        if "in_channels" in given:
            kept = {name: value for name, value in given.to_dict().items() if name != "in_channels"}
            model[part] = {"_delete_": True, **kept}
    base = Path(os.path.relpath(config.filename, out.parent)).as_posix()
    lines = (
        "# The table that tools/adapt.py found, and its weights after the search.",
        f'_base_ = "{base}"',
        f"model = {model!r}",
        f'load_from = "{_WEIGHTS}"',
    )
    return "\n".join(lines) + "\n"
