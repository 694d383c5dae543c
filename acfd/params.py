"""Typed, strict parameters: the whole of params.yaml, checked before anything runs.

Nothing has a default here. What a study used is what its params.yaml says, every key of it.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Container, Iterable
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from acfd import sections as s
from acfd.paths import atomic

SHRUNK = 0.75  # least scale of a crop: below it, resizing erases what compression would have
FACE = 0.66  # side of SynthFF's largest crop, of the frame's (narrow; wide has larger ones)


# Keys of older studies, and what to say instead
SUCCESSORS = {
    "train.epoch_pairs": "is now train.epoch_steps, counted in steps of train.batch pairs",
    "train.classifier_epochs": "is gone: every system trains all of its weights from the start",
    "train.average": "is gone: the weights are kept as they are; train.schedule lets them settle",
    "synthff.coding": "is gone: every clip is c23 and c40; data.methods may name Wide",
    "augment.crop": "is gone (it resampled pixels); augment.shift moves whole pixels",
    "augment.resize": "is gone (it resampled pixels); augment.shift moves whole pixels",
    "loss.attention_reduction": "is gone: L_AT is the mean over pixels",
    "loss.metric_reduction": "is gone: |C_h - C_l| is the Euclidean norm",
}


class ParamsError(ValueError):
    """params.yaml, or a preset, does not say what it must; the message names every wrong key."""


class Params(s.Section):
    preset: s.Name
    data: s.Data
    synthff: s.SynthFF
    faces: s.Faces
    model: s.Model
    loss: s.Loss
    train: s.Train
    augment: s.Augment
    compute: s.Compute
    study: s.Study
    score: s.Score
    table1: s.Table1
    table2: s.Table
    attention: s.Attention
    robustness: s.Robustness
    detect: s.Detect
    rows: Annotated[dict[s.Name, s.Row], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self):
        t1, t2, trained = self.table1, self.table2, Counter(self.trained)
        _known("table2.rows", t2.rows, self.rows, "which rows does not have")
        _known("study.rows", self.study.rows, self.rows, "which rows does not have")
        if twice := [name for name, n in trained.items() if n > 1]:
            raise ValueError(
                f"study.rows names {', '.join(twice)} a second time; it is for what is trained "
                "besides table2.rows"
            )
        for where, names in {
            "table1.rows": [*t1.rows, *t1.compression, *t1.left_out],
            "table1.contrasts": chain(*t1.contrasts),
            "attention.rows": self.attention.rows,
            "attention.factorial": self.attention.factorial,
            "robustness.rows": self.robustness.rows,
            "detect.row": [self.detect.row],
        }.items():
            _known(where, names, trained, "not trained: in neither table2.rows nor study.rows")
        for where, table in {"table1": t1, "table2": t2, "robustness": self.robustness}.items():
            for name in {table.reference, getattr(table, "ours", table.reference)}:
                if name not in table.rows:
                    raise ValueError(f"{where} compares with {name}, which is not in {where}.rows")
        before = [*self.study.seeds]
        for what, (rows, seeds) in self.further_seeds.items():
            if twice := {*before} & {*seeds}:
                raise ValueError(f"study.{what}_seeds has {sorted(twice)}, which is there already")
            if seeds and (early := [r for r in rows if r in t2.rows]):
                raise ValueError(
                    f"study.{what}_seeds is for {', '.join(early)} too, of table2.rows, which have "
                    "no further seeds: empty it, or name rows of study.rows"
                )
            before += seeds
        if self.detect.seed not in self.study.seeds:
            raise ValueError(f"detect.seed {self.detect.seed} is not trained: not in study.seeds")
        frame = max(self.synthff.sizes)
        side = FACE * frame
        if self.data.source == "synthff" and self.faces.size < SHRUNK * side:
            raise ValueError(
                f"faces.size is {self.faces.size}; in frames of synthff.size {frame} a "
                f"face's crop has up to {side:.0f} pixels, and would be shrunk by more than a "
                f"quarter: raise faces.size to {math.ceil(SHRUNK * side)} or make frames smaller"
            )
        rows = {name: self.for_row(name) for name in self.rows}  # of each its `set` is checked
        for name in trained:
            train, tested = rows[name].train.methods, rows[name].score.methods
            where = f"methods that row {name} trains or is tested on"
            _known(where, [*train, *tested, *t1.unseen], self.data.methods, "not in data.methods")
            if twice := {*t1.unseen} & {*train, *tested}:
                raise ValueError(
                    f"table1.unseen names {', '.join(sorted(twice))}, which row {name} is trained "
                    "or tested on already (train.methods, score.methods)"
                )
            if name in t1.left_out and not set(tested) - set(train):
                raise ValueError(
                    f"table1.left_out names {name}, which is trained on all that it is tested on; "
                    f"set rows.{name}.set.score.methods to the manipulation that it leaves out"
                )
        return self

    @property
    def trained(self) -> list[str]:
        """Every row that is trained: those of Table 2, which come first, and the others."""
        return [*self.table2.rows, *self.study.rows]

    @property
    def further_seeds(self) -> dict[str, tuple[list[str], list[int]]]:
        """What study.<it>_seeds is for -> its rows, and the seeds that they have besides."""
        table, study = self.table1, self.study
        return {
            "table1": (table.rows, study.table1_seeds),
            "headline": (table.headline, study.headline_seeds),
        }

    def seeds(self, row: str) -> list[int]:
        """The seeds that a row is trained with."""
        further = (seeds for rows, seeds in self.further_seeds.values() if row in rows)
        return [*self.study.seeds, *chain(*further)]

    def runs(self, rows: Iterable[str]) -> list[tuple[str, int]]:
        """(row, seed) of all that is trained of these rows."""
        return [(row, seed) for row in rows for seed in self.seeds(row)]

    @property
    def methods(self) -> list[str]:
        """The forgeries that the tables are over: data.methods without table1.unseen."""
        return [m for m in self.data.methods if m not in self.table1.unseen]

    def tested(self, row: str) -> list[str]:
        """The forgeries that a row is scored on: those that it is trained on, or that score.methods
        names, and table1.unseen, but for a row of Table 2."""
        p = self.for_row(row)
        unseen = self.table1.unseen if row not in self.table2.rows else []
        return [*(p.score.methods or p.train.methods), *unseen]

    def for_row(self, row: str) -> "Params":
        """These parameters as the row has them: its `set` laid over the sections."""
        if row not in self.rows:
            raise ParamsError(f"no row {row!r} in params.yaml; there are: {', '.join(self.rows)}")
        changed = {}
        for name, values in self.rows[row].set.items():
            section = getattr(self, name)
            try:
                changed[name] = type(section)(**section.model_dump() | values)
            except ValidationError as error:
                raise ValueError(f"row {row}: {explain(error, name)}") from None
        return self.model_copy(update=changed)

    def run_key(self, row: str, seed: int, **inputs: str) -> str:
        """A name for exactly this training run: what it trains, on which inputs (hashes), at which
        precision; how it is computed (loader processes, devices) does not count."""
        p = self.for_row(row)
        said = p.model_dump(include={"model", "loss", "train", "augment"})
        said |= {"system": p.rows[row].system, "precision": p.compute.precision, "seed": seed}
        return digest(said | inputs)


def _known(where: str, names: Iterable[str], known: Container[str], why: str):
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{where}: {', '.join(unknown)}, {why}")


def digest(said: Any) -> str:
    """16 hexadecimal digits that change when anything in a JSON-like value does."""
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load(path: str | Path = "params.yaml") -> Params:
    """The study's parameters. Raises ParamsError for a missing file, bad YAML, and unknown, missing
    or impossible keys, all of them named at once."""
    return _checked(_read(Path(path), _plain()), str(path))


def _plain() -> YAML:
    return YAML(typ="safe", pure=True)  # YAML 1.2, in which 1e-4 is a number


def _checked(raw: dict, where: str) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(f"{where}: {explain(error)}") from None


def _read(path: Path, yaml: YAML) -> dict:
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the project's top folder") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: expected sections of keys, found {type(raw).__name__}")
    return raw


def apply_preset(name: str, params: Path = Path("params.yaml"), presets: Path = Path("presets")):
    """Write a preset's values into params.yaml, over those of pocket, which undo whatever another
    preset changed; comments and other keys stay. Raises ParamsError for an unknown preset, and for
    a result that would not be valid; params.yaml is then left as it was."""
    source = presets / f"{name}.yaml"
    if source not in (there := sorted(presets.glob("*.yaml"))):
        known = ", ".join(p.stem for p in there) or "none; run from the project's top folder"
        raise ParamsError(f"no preset {name!r} in {presets}/; there are: {known}")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 110
    yaml.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    current = _read(params, yaml)
    for layer in dict.fromkeys([presets / "pocket.yaml", source]):
        if layer in there:
            _merge(current, _read(layer, _plain()), str(layer))
    written = StringIO()
    yaml.dump(current, written)
    text = "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())
    _checked(_plain().load(text), f"{params} with the values of {source}")
    with atomic(params) as path:
        path.write_text(text, encoding="utf-8")


def _merge(current: dict, changes: dict, source: str, where: str = ""):
    for key, value in changes.items():
        if key not in current:
            raise ParamsError(f"{source}: {where}{key} is not a key of params.yaml")
        if isinstance(value, dict) and isinstance(current[key], dict):
            _merge(current[key], value, source, f"{where}{key}.")
        elif isinstance(value, list) and isinstance(current[key], list):
            current[key][:] = value  # in place, so that its comment stays
            current[key].fa.set_flow_style()
        elif current[key] != value:  # an equal value keeps the spelling it has
            current[key] = value


def explain(error: ValidationError, section: str = "") -> str:
    """Every wrong key, what was found there and what is expected."""
    lines = []
    for e in error.errors():
        key = ".".join(str(part) for part in (section, *e["loc"]) if part != "")
        if e["type"] == "extra_forbidden":
            lines.append(f"{key}: {SUCCESSORS.get(key, 'unknown key (is it misspelt?)')}")
        elif e["type"] == "missing":
            lines.append(f"{key}: missing")
        elif e["type"] == "value_error":
            lines.append(f"{key}: {e['ctx']['error']}" if key else str(e["ctx"]["error"]))
        else:
            lines.append(f"{key}: {e['msg']}, found {e['input']!r} ({type(e['input']).__name__})")
    return "\n  ".join([f"{len(lines)} wrong key{'s' * (len(lines) > 1)}", *lines])
