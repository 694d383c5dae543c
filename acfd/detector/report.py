"""What `acfd detect` says of one file, as typed records; their JSON is the documented format."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acfd import __version__

Verdict = Literal["forged", "no_forgery_found", "inconclusive", "no_face", "error"]
Probability = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_serialization_defaults_required=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _utf8(cls, value):
        """The name of a file may be any bytes, JSON may not."""
        return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


class Flag(Record):
    """Something about the input that a reader must know."""

    code: str = Field(description="a name that does not change, e.g. small_face")
    outside: bool = Field(
        description="outside the range of inputs for which the calibration was measured: then the "
        "verdict is inconclusive, whatever the probability"
    )
    text: str


class FaceReport(Record):
    """One face that was followed through the file."""

    face: int = Field(ge=0, description="its number, in order of appearance, as in the CSV")
    verdict: Verdict
    why: str
    probability: Probability | None = Field(
        None, description="of forged, at even odds; null if it was not judged"
    )
    interval: tuple[Probability, Probability] | None = Field(
        None,
        description="of the probability: choice of frames and of validation people, nothing else",
    )
    log_odds: float | None = Field(None, description="mean over frames, as the network gives them")
    real_as_high: Probability | None = Field(
        None,
        description="share of real validation videos (or frames), or of your own, that score as "
        "high, whichever is larger",
    )
    frames: int = Field(ge=0, description="frames in which it was judged")
    first: float = Field(description="seconds from the start")
    last: float
    crop_pixels: float = Field(description="median side of the square that was cut, pixels")
    flags: list[Flag] = []


class MediaReport(Record):
    """What the file holds."""

    kind: Literal["image", "video"]
    width: int = Field(description="pixels, as shown: turned, pixels made square")
    height: int
    codec: str
    frames: int = 1
    duration: float = Field(0.0, description="seconds; 0 for an image")
    fps: float = Field(0.0, description="mean; 0 for an image")
    variable_rate: bool = False
    rotation: int = Field(0, description="degrees that frames are turned by, counter-clockwise")
    bits_per_pixel: float = Field(description="of the stream, a frame")
    damage: str = Field("", description="empty, or what is wrong with it")


class FramesReport(Record):
    """What became of the frames that were chosen."""

    chosen: int
    read: int
    with_face: int
    judged: int = Field(description="faces in frames; several faces count each")


class ModelReport(Record):
    """What judged."""

    run: str = Field(description="<row>-s<seed> of the study")
    preset: str
    title: str
    system: str
    folder: str = Field(description="of the run's files, or of the export")
    weights_sha256: str
    backend: str
    calibrated: bool = Field(description="for videos; if not, probabilities are the network's own")
    temperature: float = Field(description="that log-odds of a video were divided by")
    trained_on: str


class Report(Record):
    """One file."""

    format: Literal["acfd.detect/1"] = "acfd.detect/1"
    acfd: str = Field(description="version of this program", default_factory=lambda: __version__)
    path: str
    verdict: Verdict
    why: str
    probability: Probability | None = Field(None, description="of the face that decided")
    interval: tuple[Probability, Probability] | None = None
    decided_by: int | None = Field(
        None, description="number of the face whose verdict is the file's"
    )
    faces: list[FaceReport] = []
    flags: list[Flag] = Field([], description="of the whole file")
    media: MediaReport | None = Field(None, description="null if the file could not be read")
    frames: FramesReport | None = None
    model: ModelReport
    seconds: dict[str, float] = Field({}, description="by stage; stages overlap, wall is the whole")

    def line(self) -> str:
        """One line for a terminal."""
        said = self.verdict.replace("_", " ")
        if self.probability is not None:
            low, high = self.interval
            said += f", probability of forged {self.probability:.2f} ({low:.2f} to {high:.2f})"
        notes = "".join(f"\n    {flag.text}" for flag in self.flags)
        return f"{self.path}: {said}\n    {self.why}{notes}"
