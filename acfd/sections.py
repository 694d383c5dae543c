"""The sections of params.yaml: the type and the range of every key. acfd.params joins them."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from acfd.registry import SYSTEMS

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
Quality = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # may be the name of a folder
# of FaceForensics++; why not DeepFakeDetection, docs/faceforensics.md says
Method = Literal["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"]
# what acfd.videos calls the forgeries of its other sets, and the sets
OTHER = {"celebdf": "CelebDF", "dfdc": "DFDC", "folder": "Forged"}
ANY = "Wide"  # of SynthFF: each forgery is of another family (acfd.videos.synthff.varieties)
AnyMethod = Literal[Method, "Wide", "CelebDF", "DFDC", "Forged"]


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _each_once(self):
        for name, value in self:
            if isinstance(value, list) and len(set(map(str, value))) < len(value):
                raise ValueError(f"{name} is {value}; expected each once")
        return self


class Data(Section):
    source: Literal["synthff", "ffpp", "celebdf", "dfdc", "folder"]
    root: Annotated[str, Field(pattern=r"^[^\x00]+$")]
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
        elsewhere = {*OTHER.values()} | ({ANY} if self.source != "synthff" else set())
        if not own and (foreign := set(self.methods) & elsewhere):
            raise ValueError(f"methods names {sorted(foreign)}, which {self.source} does not have")
        drawn = re.fullmatch(r"test|seeded:[0-9]{1,9}", self.splits or "test")
        if self.source != "ffpp" and not drawn:
            raise ValueError(
                f"splits is {self.splits}; for {self.source} it is null, seeded:N (divided by the "
                "seed N) or test (to be scored only)"
            )
        return self


class Identities(Section):  # people come in pairs; an interval needs two of them
    train: Annotated[int, Field(gt=0, multiple_of=2)]
    val: Annotated[int, Field(gt=0, multiple_of=2)]
    test: Annotated[int, Field(ge=4, multiple_of=2)]


Side = Annotated[int, Field(ge=64, multiple_of=2)]  # of a frame, pixels
Program = Literal["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"]


class SynthFF(Section):
    seed: Seed
    variety: Literal["narrow", "wide"]
    strength: Annotated[dict[Program, Annotated[float, Field(ge=0.25, le=2)]], Field(min_length=4)]
    identities: Identities
    size: Side | Annotated[list[Side], Field(min_length=1)]
    frames: Positive
    fps: Rate

    @property
    def sizes(self) -> list[int]:
        """The sides of frames that pairs of people have in turn."""
        return [self.size] if isinstance(self.size, int) else self.size


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
    attention_form: Literal["product", "normalised", "auxiliary"]
    branches: Literal["separate", "shared_tail", "shared"]
    critic_width: Positive
    input: Count

    @model_validator(mode="after")
    def _check(self):
        if 0 < self.input < 32:
            raise ValueError(f"input is {self.input}; expected 0 (as faces are) or at least 32")
        return self


class Loss(Section):
    cls: Weight
    gan: Weight
    at: Weight
    dis: Weight
    attention: Literal["bce", "l1"]
    transfer: Literal["l1", "l2"]
    transfer_moves_high: bool
    radius_real: Weight
    radius_fake: Weight
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
    start: str | None
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
    # that the rows of table1, and the two of table1.headline, are trained with as well; runs of
    # before have no such keys
    table1_seeds: list[Seed] = []
    headline_seeds: list[Seed] = []
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
    # [a row, another one that it is compared with]: what one change does
    contrasts: list[Annotated[list[Name], Field(min_length=2, max_length=2)]] = []
    unseen: list[AnyMethod]  # that no row is trained on, and those of study.rows are tested on

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


def _levels(kind: type, mild: float, strong: float):
    """The type of a family's levels, between the mildest that makes sense and the strongest."""

    def check(found: list) -> list:
        inside = all(min(mild, strong) <= level <= max(mild, strong) for level in found)
        if not inside or found != sorted(set(found), reverse=mild > strong):
            raise ValueError(
                f"{found}; expected levels from {mild} (mild) to {strong} (strong), in this order "
                "and each once"
            )
        return found

    return Annotated[list[kind], AfterValidator(check)]


class Levels(Section):
    """Levels of each family of acfd.media.degrade; none of a family leaves it out."""

    h264: _levels(int, 0, 51)
    h265: _levels(int, 0, 51)
    av1: _levels(int, 0, 63)
    double: _levels(float, 1, 0.05)
    jpeg: _levels(int, 100, 1)
    webp: _levels(int, 100, 1)
    scale: _levels(float, 1, 0.05)
    chroma: _levels(int, 1, 16)
    blur: _levels(float, 0.1, 100)
    noise: _levels(float, 0, 255)


class Robustness(Table):
    frames: Positive
    forgeries: Count
    window: Positive
    levels: Levels


class Detect(Section):
    row: Name
    seed: Seed
    backend: Literal["auto", "openvino", "torch"]
    frames: Count
    detect_size: Annotated[int, Field(ge=64)] | None
    find_every: Weight
    min_face: Positive
    min_frames: Positive
    certainty: Annotated[float, Field(ge=0.5, lt=1)]
    false_alarms: Fraction
    confidence: Annotated[float, Field(gt=0, lt=1)]
    batch: Positive


class Paper(Section):
    acc: Percent | None
    auc: Percent | None


class Row(Section):
    """One row of a table: a system, and what it changes in the sections that `set` may name."""

    title: str
    system: Literal[*SYSTEMS]
    paper: Paper | None
    set: dict[Literal["model", "loss", "train", "augment", "score"], dict[str, Any]]
