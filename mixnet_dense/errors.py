"""The errors for wrong input from the user and for signals, and the wording of messages."""

from collections.abc import Sequence


class InputError(ValueError):
    """Something the user gave is wrong: a file, a config, an argument.

    The message is one line that names the thing, what was found and what is allowed.
    Tools print it without a traceback and exit with 2. Any other exception is a programming
    error and keeps its traceback.
    """


class Stopped(KeyboardInterrupt):
    """A signal ended the work, which was saved. The exit code is 128 plus the signal's number."""

    def __init__(self, number: int):
        super().__init__()
        self.code = 128 + number


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not empty."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    lines = [line for line in str(text).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


def shorten(names: Sequence) -> str:
    """Names in one line; of more than six the first six and how many there are."""
    shown = ", ".join(map(str, names[:6]))
    return shown if len(names) <= 6 else f"{shown}, … ({len(names)})"
