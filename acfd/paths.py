"""Every path of the study, in one place. All are relative to the project's top folder."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCRATCH = Path(".acfd")  # resume states and half-made things; DVC does not know it, git ignores it
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Paths:
    """The folders and files of one preset, below `top`. table2: rows whose runs' summaries are in a
    folder of their own, since a stage cannot depend on some files of a folder."""

    preset: str
    top: Path = Path()
    table2: tuple[str, ...] = ()

    @classmethod
    def of(cls, params, top: Path = Path()) -> "Paths":
        return cls(params.preset, top, tuple(params.table2.rows))

    @property
    def data(self) -> Path:
        return self.top / "data" / self.preset

    @property
    def videos(self) -> Path:
        """The embedded data set's tree, if the preset makes one, and index.csv in any case."""
        return self.data / "videos"

    @property
    def faces(self) -> Path:
        """index.parquet and one Arrow shard a video, <method>/<video>.arrow."""
        return self.data / "faces"

    def run(self, row: str, seed: int) -> Path:
        """model.safetensors, history.csv and run.json of one training run."""
        return self.data / "runs" / f"{row}-s{seed}"

    def export(self, row: str, seed: int) -> Path:
        """A run as files for deployment: model.onnx, model.xml and .bin, model.json."""
        return self.data / "exports" / f"{row}-s{seed}"

    def maps(self, row: str, seed: int) -> Path:
        """Attention maps of one run's scored frames, in the order of its score file."""
        return self.data / "maps" / f"{row}-s{seed}.parquet"

    @property
    def copies(self) -> Path:
        """Test faces from degraded copies of their videos: index.parquet and one shard a video."""
        return self.data / "copies"

    def features(self, row: str, seed: int) -> Path:
        """Norms and plane coordinates of one run's features, before and after training."""
        return self.results / "features" / f"{row}-s{seed}.parquet"

    def robustness(self, row: str, seed: int) -> Path:
        """What one run says of every copy."""
        return self.results / "robustness" / f"{row}-s{seed}.parquet"

    def scratch(self, what: str, key: str) -> Path:
        return self.top / SCRATCH / what / key

    @property
    def results(self) -> Path:
        return self.top / "results" / self.preset

    def recipe(self, what: str) -> Path:
        """What determines the videos, faces or copies, see acfd.videos.recipes."""
        return self.results / "recipes" / f"{what}.json"

    def scores(self, row: str, seed: int) -> Path:
        return self.results / "scores" / f"{row}-s{seed}.parquet"

    def history(self, row: str, seed: int) -> Path:
        """A line an epoch of a run: losses, validation, seconds."""
        return self.results / "history" / f"{row}-s{seed}.csv"

    def steps(self, row: str, seed: int) -> Path:
        """A line a step of a run, float32; of a long run every n-th step."""
        return self.results / "steps" / f"{row}-s{seed}.parquet"

    def summary(self, row: str, seed: int) -> Path:
        """What the stage `score` says of a run, with the digests of the files that it wrote."""
        group = "table2" if row in self.table2 else "others"
        return self.metrics / "runs" / group / f"{row}-s{seed}.json"

    @property
    def metrics(self) -> Path:
        return self.results / "metrics"

    @property
    def tables(self) -> Path:
        return self.results / "tables"

    @property
    def figures(self) -> Path:
        return self.results / "figures"

    @property
    def notebooks(self) -> Path:
        """Executed copies. In git of preset full alone: they are megabytes of pictures."""
        return self.results / "notebooks"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(path: Path) -> str:
    """16 hexadecimal digits that change when a file's content does."""
    return sha256(path)[:16]


class BrokenError(ValueError):
    """A file of the study's that cannot be read; the message says what to do."""


def read_frame(path: Path, otherwise: str):
    """A CSV or Parquet file that acfd wrote. Raises BrokenError, with what to do otherwise, for one
    that is missing, no such file or cut short."""
    import pandas as pd

    try:
        if path.suffix == ".csv" and not path.read_bytes().endswith(b"\n"):
            raise ValueError("its last line has no end")
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BrokenError(f"{path}: broken, perhaps cut short ({error}); {otherwise}") from None


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it if the block ends well, removed if it does not.
    It keeps the ending, since writers of video choose the container by it."""
    path = Path(path)
    with _full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    """Of a full disk, quota or file size limit the OSError says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        folder = next(p for p in Path(path).absolute().parents if p.exists())
        free = shutil.disk_usage(folder).free / 2**20
        raise OSError(
            error.errno,
            f"{path}: no room to write it ({error.strerror}): {free:.0f} MiB are free on the disk "
            f"of {folder}; make room there and run again, what is finished is kept",
        ) from None
