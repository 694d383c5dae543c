"""Typed, strict parameters: the whole of params.yaml, checked before anything runs.

Nothing has a default here. What a study used is what its params.yaml says, every key of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from acfd.baselines import module_of
from acfd.paths import atomic

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
Quality = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # may be the name of a folder
Method = Literal[
    "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection"
]
# what acfd.datasets calls the forgeries of its other sets, and the sets
OTHER = {"celebdf": "CelebDF", "dfdc": "DFDC", "folder": "Forged"}
AnyMethod = Literal[Method, "CelebDF", "DFDC", "Forged"]
Reduction = Literal["mean", "sum"]


# Keys of older studies, and what to say instead.
SUCCESSORS = {
    "train.epoch_pairs": "is now train.epoch_steps, counted in steps of train.batch pairs",
    "train.classifier_epochs": "is gone: every system trains all of its weights from the start",
    "train.average": "is gone: the weights are kept as they are; train.schedule lets them settle",
    "augment.crop": "is now augment.resize (it resamples pixels); augment.shift moves whole pixels",
}


SHRUNK = 0.75  # least scale of a crop: below it, resizing erases what compression would have
FACE = (
    0.66  # side of SynthFF's largest crop, of the frame's (narrow; wide has some that are larger)
)


class ParamsError(ValueError):
    """params.yaml, or a preset, does not say what it must; the message names every wrong key."""


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _each_once(self):
        for name, value in self:
            if isinstance(value, list) and len(set(value)) < len(value):
                raise ValueError(f"{name} is {value}; expected each once")
        return self


class Data(Section):
    source: Literal["synthff", "ffpp", "celebdf", "dfdc", "folder"]
    root: str
    splits: str | None
    methods: Annotated[list[AnyMethod], Field(min_length=1)]
    high: Quality
    low: Quality

    @model_validator(mode="after")
    def _check(self):
        known = {"synthff": "raw|c23|c40", "ffpp": "raw|c[0-9]{1,2}"}.get(self.source, ".*")
        for name in ("high", "low"):
            if not re.fullmatch(known, getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; {self.source} has {known}")
        if self.high == self.low:
            raise ValueError(f"high and low are both {self.high}; a pair needs two compressions")
        own = OTHER.get(self.source)
        if own and self.methods != [own]:
            raise ValueError(f"methods is {self.methods}; the set {self.source} has only [{own}]")
        if not own and (foreign := set(self.methods) & set(OTHER.values())):
            raise ValueError(f"methods names {sorted(foreign)}, which {self.source} does not have")
        drawn = re.fullmatch(r"test|seeded:[0-9]{1,9}", self.splits or "test")
        if self.source != "ffpp" and not drawn:
            raise ValueError(
                f"splits is {self.splits}; for {self.source} it is null, seeded:N (divided by the "
                "seed N) or test (to be scored only)"
            )
        return self


class Identities(Section):
    train: Positive
    val: Positive
    test: Positive

    @model_validator(mode="after")
    def _check(self):
        for split, n in self:
            if n % 2:
                raise ValueError(f"{split} is {n}; people come in pairs, so it must be even")
        if self.test < 4:
            raise ValueError(f"test is {self.test}; an interval needs two pairs, so at least 4")
        return self


class SynthFF(Section):
    seed: Seed
    variety: Literal["narrow", "wide"]
    strength: Annotated[float, Field(ge=0.25, le=2)]
    identities: Identities
    size: Annotated[int, Field(ge=64, multiple_of=2)]
    frames: Positive
    fps: Rate


class Faces(Section):
    frames: Positive
    choice: Literal["even", "first"]
    size: Annotated[int, Field(ge=32)]
    margin: Annotated[float, Field(ge=1, le=3)]
    mask_threshold: Annotated[float, Field(ge=0, lt=1)]
    min_score: Fraction
    detect_size: Annotated[int, Field(ge=64)]


class Model(Section):
    weights: str
    attention: bool
    attention_form: Literal["product", "normalised", "residual", "auxiliary"]
    branches: Literal["separate", "shared_tail", "shared"]
    critic_width: Positive
    input: Count


class Loss(Section):
    cls: Weight
    gan: Weight
    at: Weight
    dis: Weight
    attention: Literal["bce", "l1"]
    attention_reduction: Reduction
    transfer: Literal["l1", "l2"]
    transfer_moves_high: bool
    radius_real: Weight
    radius_fake: Weight
    metric_reduction: Literal["norm", "mean", "sum"]
    gradient_penalty: Weight
    distil_logits: Weight
    distil_features: Weight
    temperature: Rate

    @model_validator(mode="after")
    def _check(self):
        if self.radius_real >= self.radius_fake:
            raise ValueError(
                f"radius_real {self.radius_real} must be below radius_fake {self.radius_fake}"
            )
        return self


class Train(Section):
    methods: Annotated[list[AnyMethod], Field(min_length=1)]
    qualities: Annotated[list[Literal["high", "low"]], Field(min_length=1, max_length=2)]
    steps: Count
    epochs: Positive
    epoch_steps: Count
    patience: Positive | None
    keep: Literal["best", "last"]
    val_pairs: Count
    batch: Annotated[int, Field(ge=2, multiple_of=2)]
    optimiser: Literal["adamw", "adam"]
    schedule: Literal["cosine", "constant"]
    warm_up: Annotated[float, Field(gt=0, lt=1)]
    lr: Rate
    attention_lr_scale: Rate
    weight_decay: Weight
    critic_lr: Rate
    critic_steps: Positive
    on_collapse: Literal["stop", "go_on"]
    accumulate: Positive

    @model_validator(mode="after")
    def _check(self):
        if self.steps and (not self.epoch_steps or self.steps % self.epoch_steps):
            raise ValueError(
                f"steps is {self.steps}, which is not a whole number of epochs of epoch_steps "
                f"{self.epoch_steps}; change either (steps 0: epochs decides)"
            )
        if self.batch % (2 * self.accumulate):
            raise ValueError(
                f"batch is {self.batch}, accumulate {self.accumulate}; each part has as many real "
                "as forged pairs: batch must divide by 2 x accumulate"
            )
        return self

    def most_epochs(self) -> int:
        """Epochs, and so validations, at most."""
        return self.steps // self.epoch_steps if self.steps else self.epochs


class Augment(Section):
    flip: Fraction
    shift: Annotated[float, Field(ge=0, lt=0.5)]
    resize: Annotated[float, Field(ge=0, lt=0.5)]
    brightness: Fraction
    contrast: Fraction
    blend: Fraction
    degrade: Fraction


class Compute(Section):
    accelerator: Literal["auto", "cpu", "cuda"]
    devices: Positive
    nodes: Positive
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    channels_last: bool
    compile: bool
    workers: Count
    jobs: Positive
    backend: Literal["joblib", "dask"]
    scheduler: str | None
    checkpoint_steps: Count


class Study(Section):
    seeds: Annotated[list[Seed], Field(min_length=1)]
    rows: Annotated[list[Name], Field(min_length=1)]


class Score(Section):
    methods: list[AnyMethod]
    batch: Positive


class Table(Section):
    rows: Annotated[list[Name], Field(min_length=1)]
    reference: Name
    bootstrap: Positive
    confidence: Annotated[float, Field(gt=0, lt=1)]


class Table1(Table):
    ours: Name  # paired differences are also to this row
    # the comparison named beforehand, which is not corrected: [row, reference or ours]
    headline: Annotated[list[Name], Field(min_length=2, max_length=2)]
    compression: list[Name]  # rows of the cross-compression table
    left_out: list[Name]  # rows trained without the one method that they are tested on

    @model_validator(mode="after")
    def _check(self):
        row, other = self.headline
        if row == other or row not in self.rows or other not in (self.reference, self.ours):
            raise ValueError(
                f"headline is {self.headline}; expected [a row of table1.rows, another one that is "
                f"table1.reference ({self.reference}) or table1.ours ({self.ours})]"
            )
        return self


class Attention(Section):
    rows: Annotated[list[Name], Field(min_length=1)]  # whose features are looked at
    frames: Positive
    factorial: list[Name]  # short runs that tell apart what makes the map of Eq. 5 collapse


# Levels of each family of acfd.degrade: the mildest that makes sense and the strongest.
LIMITS = {
    "h264": (0, 51),
    "h265": (0, 51),
    "av1": (0, 63),
    "double": (1, 0.05),
    "jpeg": (100, 1),
    "webp": (100, 1),
    "scale": (1, 0.05),
    "chroma": (1, 16),
    "blur": (0.1, 100),
    "noise": (0, 255),
}


class Levels(Section):
    """Levels of each family, from mild to strong; none of a family leaves it out."""

    h264: list[int]
    h265: list[int]
    av1: list[int]
    double: list[float]
    jpeg: list[int]
    webp: list[int]
    scale: list[float]
    chroma: list[int]
    blur: list[float]
    noise: list[float]

    @model_validator(mode="after")
    def _check(self):
        for family, levels in self:
            mild, strong = LIMITS[family]
            rising = strong > mild
            inside = all(min(mild, strong) <= level <= max(mild, strong) for level in levels)
            if not inside or levels != sorted(set(levels), reverse=not rising):
                raise ValueError(
                    f"{family} is {levels}; expected levels from {mild} (mild) to {strong} "
                    "(strong), in this order and each once"
                )
        return self


class Robustness(Table):
    frames: Positive
    forgeries: Count
    window: Positive
    levels: Levels


class Detect(Section):
    row: Name
    seed: Seed
    backend: Literal["auto", "openvino", "onnx", "torch"]
    frames: Count
    detect_size: Annotated[int, Field(ge=64)] | None
    find_every: Weight
    min_face: Positive
    min_frames: Positive
    certainty: Annotated[float, Field(ge=0.5, lt=1)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    batch: Positive


class Paper(Section):
    acc: float | None
    auc: float | None


class Row(Section):
    """One row of a table: a system, and what it changes in the sections that `set` may name."""

    title: str
    system: str
    paper: Paper | None
    set: dict[Literal["model", "loss", "train", "augment", "score"], dict[str, Any]]

    @field_validator("system")
    @classmethod
    def _known(cls, name: str) -> str:
        module_of(name)
        return name


class Params(Section):
    preset: Name
    data: Data
    synthff: SynthFF
    faces: Faces
    model: Model
    loss: Loss
    train: Train
    augment: Augment
    compute: Compute
    study: Study
    score: Score
    table1: Table1
    table2: Table
    attention: Attention
    robustness: Robustness
    detect: Detect
    rows: Annotated[dict[Name, Row], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self):
        for where, names in (("table2", self.table2.rows), ("study", self.study.rows)):
            if unknown := [name for name in names if name not in self.rows]:
                raise ValueError(
                    f"{where}.rows names {', '.join(unknown)}, which rows does not have"
                )
        if twice := [name for name, n in Counter(self.trained).items() if n > 1]:
            raise ValueError(
                f"study.rows names {', '.join(twice)} a second time; it is for what is trained "
                "besides table2.rows"
            )
        t1, t2 = self.table1, self.table2
        named = {
            "table1.rows": [*t1.rows, *t1.compression, *t1.left_out],
            "attention.rows": self.attention.rows,
            "attention.factorial": self.attention.factorial,
            "robustness.rows": self.robustness.rows,
        }
        named["detect.row"] = [self.detect.row]
        for where, names in named.items():
            for name in names:
                if name not in self.trained:
                    raise ValueError(
                        f"{where}: the row {name} is not trained: in neither table2.rows nor "
                        "study.rows"
                    )
        for where, table in (("table1", t1), ("table2", t2), ("robustness", self.robustness)):
            for name in {table.reference, getattr(table, "ours", table.reference)}:
                if name not in table.rows:
                    raise ValueError(f"{where} compares with {name}, which is not in {where}.rows")
        side = FACE * self.synthff.size
        if self.data.source == "synthff" and self.faces.size < SHRUNK * side:
            raise ValueError(
                f"faces.size is {self.faces.size}; in frames of synthff.size {self.synthff.size} a "
                f"face's crop has up to {side:.0f} pixels, and would be shrunk by more than a "
                f"quarter: raise faces.size to {math.ceil(SHRUNK * side)} or make frames smaller"
            )
        if self.detect.seed not in self.study.seeds:
            raise ValueError(f"detect.seed {self.detect.seed} is not trained: not in study.seeds")
        for name in self.rows:
            row = self.for_row(name)
            if name not in self.trained:
                continue
            missing = {*row.train.methods, *row.score.methods} - set(self.data.methods)
            if missing:
                raise ValueError(
                    f"row {name} trains or is tested on {sorted(missing)}, not in data.methods"
                )
            if name in t1.left_out and not set(row.score.methods) - set(row.train.methods):
                raise ValueError(
                    f"table1.left_out names {name}, which is trained on all that it is tested on; "
                    f"set rows.{name}.set.score.methods to the manipulation that it leaves out"
                )
        return self

    @property
    def trained(self) -> list[str]:
        """Every row that is trained: those of Table 2, which come first, and the others."""
        return [*self.table2.rows, *self.study.rows]

    def for_row(self, row: str) -> Params:
        """These parameters as the row has them: its `set` laid over the sections."""
        if row not in self.rows:
            raise ParamsError(f"no row {row!r} in params.yaml; there are: {', '.join(self.rows)}")
        raw = self.model_dump()
        for section, values in self.rows[row].set.items():
            raw[section] |= values
        changed = {}
        for section in self.rows[row].set:
            try:
                changed[section] = type(getattr(self, section))(**raw[section])
            except ValidationError as error:
                raise ValueError(f"row {row}: {_explain(error, section)}") from None
        return self.model_copy(update=changed)

    def run_key(self, row: str, seed: int, **inputs: str) -> str:
        """A name for exactly this training run: what it trains, and on which inputs (hashes).

        How it is computed (loader processes, devices) does not count; the precision does.
        """
        p = self.for_row(row)
        said = p.model_dump(include={"model", "loss", "train", "augment"})
        said |= {"system": p.rows[row].system, "precision": p.compute.precision, "seed": seed}
        return digest(said | inputs)


def digest(said: Any) -> str:
    """16 hexadecimal digits that change when anything in a JSON-like value does."""
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load(path: str | Path = "params.yaml") -> Params:
    """The study's parameters.

    Raises ParamsError for a missing file, bad YAML, and unknown, missing, mistyped or impossible
    keys, all of them named at once.
    """
    return _checked(_read(Path(path), _plain()), str(path))


def _plain() -> YAML:
    return YAML(typ="safe", pure=True)  # YAML 1.2, in which 1e-4 is a number


def _checked(raw: dict, where: str) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(f"{where}: {_explain(error)}") from None


def _read(path: Path, yaml: YAML) -> dict:
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the project's top folder") from None
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: expected sections of keys, found {type(raw).__name__}")
    return raw


def apply_preset(name: str, params: Path = Path("params.yaml"), presets: Path = Path("presets")):
    """Write a preset's values into params.yaml, whose comments and other keys stay.

    Raises ParamsError for an unknown preset, and for a result that would not be valid; params.yaml
    is then left as it was.
    """
    source = presets / f"{name}.yaml"
    if not source.exists():
        known = ", ".join(sorted(p.stem for p in presets.glob("*.yaml")))
        raise ParamsError(f"no preset {name!r} in {presets}/; there are: {known}")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 110
    yaml.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    current = _read(params, yaml)
    _merge(current, _read(source, _plain()), str(source))
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


def _explain(error: ValidationError, section: str = "") -> str:
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
