"""Running the command-line tools, in this process or in their own."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]


def tool(name):
    """The main of ``tools/NAME.py`` as a function of its command-line arguments."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *argv: module.main(module.parse_args([str(arg) for arg in argv]))


def shell(*argv, cwd):
    """Run Python with arguments and return its finished process."""
    command = [sys.executable, *(str(arg) for arg in argv)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def fresh(code, blocked=()):
    """Run code in a Python of its own, where importing the blocked modules raises ImportError."""
    prelude = f"import sys; sys.modules.update(dict.fromkeys({list(blocked)}))\n"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", prelude + textwrap.dedent(code)]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path})


def one_error_line(process):
    """The line of a tool that found bad input; it must be the only one, with exit code 2."""
    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr + process.stdout
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    return line
