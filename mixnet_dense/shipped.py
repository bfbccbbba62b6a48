"""The configs and tools of the package: files in a wheel, links in the repository.

They are in ``.mim``, where OpenMMLab's ``mim`` and ``mmengine.hub.get_config`` look for them.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent / ".mim"


def configs() -> Path:
    """The folder of the configs."""
    return _FOLDER / "configs"


def tools() -> Path:
    """The folder of the commands."""
    return _FOLDER / "tools"


def find_config(name: str) -> Path | None:
    """The file ``name``, else the shipped config of that name, ``.py`` or not; None if neither."""
    files = Path(name), configs() / f"{name.removesuffix('.py')}.py"
    return next((file for file in files if file.is_file()), None)
