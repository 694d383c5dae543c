"""What code a run depends on: the modules that its system uses, without comments and docstrings.

`acfd sources` writes one small file a row into data/sources/, on which the row's training stage
depends: editing one system, or a comment, makes no other run stale.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

from acfd.baselines import module_of
from acfd.params import Params, digest
from acfd.paths import atomic

TOP = Path(__file__).parent
# They say what is done and where it lies, not how it is done; what they yield is hashed itself.
LEFT_ALONE = {"params", "paths", "shards", "ffpp", "sources", "baselines", ""}


def of_row(p: Params, row: str) -> dict[str, str]:
    """Module name -> digest of its code, for every module that trains this row.

    p: the study's parameters, or the row's own.
    """
    p = p.for_row(row)
    start = ["runs", _name(module_of(p.rows[row].system))]
    if p.augment.blend or p.augment.degrade:
        start.append("fresh")  # imported only then
    found: set[str] = set()
    while start:
        name = start.pop()
        if name not in found and name not in LEFT_ALONE:
            found.add(name)
            start += _imports(name)
    return {name: _digest(name) for name in sorted(found)}


def key(p: Params, row: str) -> str:
    """One name for all of it."""
    return digest(of_row(p, row))


def write(p: Params, folder: Path):
    """One JSON file a row of study.rows; a file that says the same already is left as it is."""
    for row in p.study.rows:
        text = json.dumps(of_row(p, row), indent=1) + "\n"
        path = folder / f"{row}.json"
        if not path.exists() or path.read_text() != text:
            with atomic(path) as f:
                f.write_text(text)
    wanted = {f"{row}.json" for row in p.study.rows}
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()


def _name(module: str) -> str:
    return module.removeprefix("acfd").removeprefix(".")


def _file(name: str) -> Path:
    path = TOP.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(name: str) -> ast.Module:
    return ast.parse(_file(name).read_text())


def _imports(name: str) -> list[str]:
    """Modules of acfd that a module imports at its top level."""
    found = []
    for node in _tree(name).body:
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    names = [_name(f) for f in found if f.split(".")[0] == "acfd"]
    return [n for n in names if n and _file(n).is_file()]


@cache
def _digest(name: str) -> str:
    tree = _tree(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]
