"""Read files, web addresses and archives as bytes, up to a limit."""

import gzip
import io
import tarfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.request import urlopen

from mixnet_dense.errors import InputError, first_line

LIMIT = 512 * 2**20  # bytes of a file, and of all that is unpacked from an archive
_MEMBERS = 1000  # files looked at in an archive
_TIMEOUT = 30  # seconds without an answer


def is_address(location: str) -> bool:
    return location.startswith(("http://", "https://"))


def load(location: str, limit: int) -> bytes:
    """All bytes of a file or an address, at most ``limit``."""
    try:
        if is_address(location):
            with urlopen(location, timeout=_TIMEOUT) as answer:
                data = answer.read(limit + 1)
            size = len(data)
        else:
            file = Path(location).expanduser()
            if not file.is_file():
                raise InputError(f"{location}: no such file")
            size = file.stat().st_size
            data = b"" if size > limit else file.read_bytes()
    except (OSError, HTTPException) as error:
        raise InputError(f"{location}: cannot be read: {first_line(error)}") from error
    if size > limit:
        raise InputError(f"{location}: has more than {limit} bytes")
    return data


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
    except (OSError, EOFError, zlib.error, tarfile.TarError, InputError) as error:
        reason = f"not a readable .tar.gz: {first_line(error)}"
        raise InputError(f"{location}: {reason}") from error
    raise InputError(f"{location}: no frozen graph (.pb) among its first {_MEMBERS} files")
