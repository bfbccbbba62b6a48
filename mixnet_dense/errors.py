"""The one kind of error that is the user's to mend."""


class InputError(ValueError):
    """Something the user gave is wrong: a file, a config, an argument.

    The message is one line that names the thing, what was found and what is allowed.
    Tools print it without a traceback and exit with 2. Any other exception is a fault of
    a program and keeps its traceback.
    """
