"""The command ``mixnet-dense TOOL …``: a tool of the package with the arguments behind its name."""

import ast
import importlib.util
import sys

from mixnet_dense import cli, shipped
from mixnet_dense.errors import InputError


def main() -> None:
    """Run ``mixnet-dense`` or ``python -m mixnet_dense``."""
    cli.run(lambda: _run(*sys.argv[1:]))


def _run(name: str = "--help", *arguments: str) -> None:
    files = {file.stem.replace("_", "-"): file for file in sorted(shipped.tools().glob("*.py"))}
    if name in ("-h", "--help"):
        print("usage: mixnet-dense TOOL …, and mixnet-dense TOOL --help for its arguments\n")
        for tool, file in files.items():
            about = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
            print(f"  {tool:16} {about.partition(':')[0]}")
        return
    found = [name] if name in files else [tool for tool in files if tool.startswith(name)]
    if len(found) != 1:
        raise InputError(f"mixnet-dense {name}: must be one of {', '.join(files)}")
    spec = importlib.util.spec_from_file_location(f"tool_{name}", files[found[0]])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.argv[0] = f"mixnet-dense {found[0]}"  # as its --help shows it
    module.main(module.parse_args(arguments))


if __name__ == "__main__":
    main()
