"""Read files, web addresses and archives as bytes, up to a limit."""

import gzip
import io
import tarfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.request import urlopen

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.progress import Progress

LIMIT = 512 * 2**20  # bytes of a file, and of all that is unpacked from an archive
_MEMBERS = 1000  # files looked at in an archive
_TIMEOUT = 30  # seconds without an answer
_BLOCK = 2**16  # bytes between two looks at the progress
_SMALL = 2**20  # bytes that arrive so soon that no progress is shown


def is_address(location: str) -> bool:
    return location.startswith(("http://", "https://"))


def load(location: str, limit: int, progress: Progress | None = None) -> bytes:
    """All bytes of a file or an address, at most ``limit``.

    Args:
        progress: of the addresses that this is one of; by default a large one has its own.

    Raises:
        InputError: it cannot be read, is larger than the limit, or ends early.
    """
    try:
        if is_address(location):
            return _download(location, limit, progress)
        file = Path(location).expanduser()
        if not file.is_file():
            raise InputError(f"{location}: no such file")
        if file.stat().st_size <= limit:
            return file.read_bytes()
    except (OSError, HTTPException) as error:
        raise InputError(f"{location}: cannot be read: {first_line(error)}") from error
    raise InputError(f"{location}: has more than {limit} bytes")


def megabytes(size: int) -> Progress:
    """The progress of a download of so many bytes."""
    return Progress(size, "MB", scale=10**6)


def _download(location: str, limit: int, progress: Progress | None) -> bytes:
    with urlopen(location, timeout=_TIMEOUT) as answer:
        data, size = bytearray(), answer.length or 0  # the length still to come, if it is known
        if not progress and _SMALL < size <= limit:
            progress = megabytes(size)
        while block := answer.read(_BLOCK):
            data += block
            if len(data) > limit:
                raise InputError(f"{location}: has more than {limit} bytes")
            if progress:
                progress.step(len(block))
        if len(data) < size:
            raise InputError(f"{location}: ends after {len(data)} of {size} bytes")
    return bytes(data)


class _Unzipped:
    """A gzip stream that stops at `LIMIT` bytes, however well the file is compressed."""

    def __init__(self, data: bytes):
        self.stream, self.left = gzip.GzipFile(fileobj=io.BytesIO(data)), LIMIT

    def read(self, size: int) -> bytes:
        found = self.stream.read(size)
        self.left -= len(found)
        if self.left < 0:
            raise InputError(f"unpacks to more than {LIMIT} bytes")
        return found


def unpack(location: str, data: bytes) -> bytes:
    """The bytes of the GraphDef in a tar archive; nothing is written to the disk."""
    try:
        with tarfile.open(fileobj=_Unzipped(data), mode="r|") as archive:
            for count, member in enumerate(archive):
                name = PurePosixPath(member.name)
                if count == _MEMBERS:
                    break
                if member.isfile() and name.suffix == ".pb" and name.name != "saved_model.pb":
                    if member.size > LIMIT:
                        raise InputError(f"'{name}' has {member.size} bytes, at most {LIMIT}")
                    return archive.extractfile(member).read()
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        reason = f"not a readable .tar.gz: {first_line(error)}"
        raise InputError(f"{location}: {reason}") from error
    raise InputError(f"{location}: no frozen graph (.pb) among its first {_MEMBERS} files")
