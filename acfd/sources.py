"""What code a stage or a run depends on: the modules behind it, found by their imports.

`acfd sources` writes a digest a stage, and one a row with its parameters, into
results/sources.json, on which the stages depend. Comments, docstrings, error messages and a
notebook's prose count for nothing: editing them makes no stage stale, and editing a module those
alone whose imports lead to it. A digest is the same on every machine and under every version of
Python.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from acfd.params import Params, digest
from acfd.paths import atomic
from acfd.registry import module_of

TOP = Path(__file__).parent
# What they yield is hashed itself, or they decide where things lie and which process makes them.
LEFT_ALONE = {"", "params", "sections", "paths", "registry", "sources"}
LEFT_ALONE |= {"videos.ffpp", "videos.recipes", "faces.shards", "faces.parallel", "media.timing"}
# Each stage's notebook, or its command
STAGES = {
    "videos": "01_videos",
    "faces": "02_faces",
    "train": "03_train",
    "table2": "05_table2",
    "table1": "04_table1",
    "attention": "06_attention",
    "curves": "07_robustness",
    "report": "09_report",
} | {name: name for name in ("score", "calibrate", "features", "copies", "robustness")}
# What a stage imports to show or to check what it makes
SHOWN = {
    "videos": {"figures", "figures.videos", "videos.check", "videos.compress"},
    "faces": {"figures", "figures.videos"},
    "copies": {"figures", "figures.robustness"},
}
# What makes the videos, a shard of faces, one of copies
MADE_BY = {"videos": "videos.synthff.build", "faces": "faces.extract", "copies": "scores.copies"}
OF_ROWS = {"runs.blended"}  # imported by runs for some rows alone


def of_row(p: Params, row: str) -> dict[str, str]:
    """Module name -> digest of its code, for every module that trains this row; p: the study's
    parameters, or the row's own."""
    p = p.for_row(row)
    fresh = p.augment.blend or p.augment.degrade
    return behind(["runs.run", _name(module_of(p.rows[row].system))], set() if fresh else OF_ROWS)


def of_stage(stage: str) -> dict[str, str]:
    """The same for a stage; of a notebook, its code cells as well. Those of `train` are all: the
    modules behind a run are its row's."""
    name = STAGES[stage]
    without = OF_ROWS | SHOWN.get(stage, set())
    if not name[0].isdigit():
        return behind(_look(_text(TOP / "cli.py"), f"_{name}")[1], without)
    path = TOP.parent / "notebooks" / f"{name}.ipynb"
    own, names = _look(_text(path))
    return {f"notebooks/{path.name}": own} | behind([] if stage == "train" else names, without)


@cache
def made_by(what: str) -> str:
    """The digest of the code that makes the videos, a shard of faces, or one of copies."""
    return digest(behind([MADE_BY[what]], {"videos"}))


def row_key(p: Params, row: str) -> str:
    """One name for `of_row`."""
    return digest(of_row(p, row))


def behind(modules: Iterable[str], without: Iterable[str] = ()) -> dict[str, str]:
    """Module -> digest of its code, for these and all that they import, but for `without`."""
    found, left = {}, list(modules)
    without = LEFT_ALONE | set(without)
    while left:
        name = left.pop()
        if name not in found and name not in without and _file(name).is_file():
            found[name], names = _look(_text(_file(name)))
            left += names
    return dict(sorted(found.items()))


def write(p: Params, path: Path):
    """All of it as one JSON file: a digest a stage; one a row, of its parameters too, and one of
    what the row is scored on; one of all rows. As parameters of each stage these would be most of
    dvc.lock, which DVC reads and writes after every stage."""
    said = {
        "stages": {stage: digest(of_stage(stage)) for stage in STAGES},
        "rows": {row: p.run_key(row, 0, code=row_key(p, row)) for row in p.rows},
        "scores": {row: digest([p.tested(row), p.data.high, p.data.low]) for row in p.rows},
        "study": digest(p.model_dump(mode="json")["rows"]),
    }
    with atomic(path) as f:
        f.write_text(json.dumps(said, indent=1) + "\n")


def _name(module: str) -> str:
    return module.removeprefix("acfd").removeprefix(".")


def _file(name: str) -> Path:
    path = TOP.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _text(path: Path) -> str:
    """A module's text, or that of a notebook's code cells."""
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


@cache
def _look(text: str, function: str = "") -> tuple[str, list[str]]:
    """The digest of a code, or of one function in it, and the modules that it imports from acfd,
    in functions too, but not for types."""
    tree = ast.parse(text)
    if function:
        tree = next(node for node in tree.body if getattr(node, "name", "") == function)
    found, left = [], [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        left += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [_imported(node.module, a.name) for a in node.names]
    names = [_name(name) for name in found if name.split(".")[0] == "acfd"]
    return hashlib.sha256(json.dumps(_said(tree)).encode()).hexdigest()[:16], names


def _imported(module: str, name: str) -> str:
    """The module that `from module import name` reads: that of the name, or else its package."""
    inner = f"{module}.{name}"
    return inner if _file(_name(inner)).is_file() else module


def _said(node):
    """A syntax tree as lists and strings, without what decides nothing. Not `ast.dump` or
    `ast.unparse`: what they write differs between versions of Python."""
    if isinstance(node, list):
        return [_said(x) for x in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    if documented and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        fields = {"exc": node.exc.func}
    kept = {k: _said(v) for k, v in fields.items() if v is not None and v != []}
    return [type(node).__name__, kept]
