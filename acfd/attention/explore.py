"""Look around in stored attention maps: a widget to choose a run, a video, a frame and a
compression, for JupyterLab. Nothing is trained or run: maps are stored, so it answers at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from acfd import attention
from acfd.attention import unpack
from acfd.figures import bare, on_face, subplots
from acfd.params import Params
from acfd.paths import Paths
from acfd.shards import PairTable


def someone_is_there() -> bool:
    """Is the notebook open in front of somebody? Not if papermill executes it: widgets would then
    only leave ids in the copy that differ each time."""
    shell = get_ipython()
    # a front end that could pass on an answer says so with every cell that it sends
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def view(params: Params, table: PairTable, line: pd.Series) -> Figure:
    """One face: both qualities, the mask, and what both branches made of it.

    line: one of attention.faces.
    """
    pair = table.read(int(line["face"]))
    side = int(line["side"])
    said = [unpack(pd.Series([line[c]]), side)[0] for c in ("mask", "high_branch", "low_branch")]
    high, low, judged = params.data.high, params.data.low, line["compression"]
    shown = pair["low"] if judged == low else pair["high"]
    fig, axes = subplots(1, 5, (12.5, 3.1), layout="compressed")
    bare(axes)
    axes[0, 0].imshow(pair["high"], interpolation="none")
    on_face(axes[0, 1:], shown, pair["mask"], said)
    titles = [high, f"{judged}, outline of the mask", "mask", f"M of the {high} branch"]
    for ax, title in zip(axes[0], [*titles, f"M of the {low} branch, shown {judged}"]):
        ax.set_title(title, fontsize=9)
    truth = f"forged ({line['method']})" if line["label"] else "real"
    fit = f", IoU {line['iou']:.2f}" if line["label"] and np.isfinite(line["iou"]) else ""
    fig.suptitle(
        f"{line['video']}, frame {line['frame']}: {truth}, score {line['score']:.2f}{fit}",
        fontsize=10,
    )
    return fig


class Explorer:
    """The widget: `Explorer(params, paths)` shown in a cell; `figure` is what it shows now."""

    def __init__(self, params: Params, paths: Paths):
        """Raises AttentionError if no run of the study has maps of two branches."""
        self.params, self.paths = params, paths
        self.table = PairTable(paths.faces)
        runs = attention.rows_with_maps(params, paths)
        self._faces = lru_cache(maxsize=4)(lambda run: attention.faces(params, paths, *run))
        names = [(f"{params.rows[row].title}, seed {seed}", (row, seed)) for row, seed in runs]
        both = [params.data.low, params.data.high]
        self.run = widgets.Dropdown(options=names, description="run")
        self.compression = widgets.ToggleButtons(options=both, description="compression")
        self.method = widgets.Dropdown(description="method")
        self.video = widgets.Dropdown(description="video")
        self.frame = widgets.SelectionSlider(options=[0], description="frame")
        self.output = widgets.Output()
        self.figure: Figure | None = None
        self.run.observe(self._runs, "value")
        self.method.observe(self._videos, "value")
        self.video.observe(self._frames, "value")
        self.frame.observe(self._show, "value")
        self.compression.observe(self._show, "value")
        self._runs()

    @property
    def widget(self) -> widgets.Widget:
        choices = [self.run, self.method, self.video, self.frame, self.compression]
        return widgets.VBox([widgets.HBox(choices[:3]), widgets.HBox(choices[3:]), self.output])

    def _ipython_display_(self):
        display(self.widget)

    def _of(self, **chosen) -> pd.DataFrame:
        found = self._faces(self.run.value)
        for column, value in chosen.items():
            found = found[found[column] == value]
        return found

    def _runs(self, _=None):
        self._offer(self.method, self._of()["method"], self._videos)

    def _videos(self, _=None):
        self._offer(self.video, self._of(method=self.method.value)["video"], self._frames)

    def _frames(self, _=None):
        of = self._of(method=self.method.value, video=self.video.value)
        self._offer(self.frame, of["frame"], self._show)

    def _offer(self, part, values: pd.Series, then: Callable) -> None:
        """New options, keeping the old choice if it is one of them; then on to what depends on it.

        Options and choice change one after the other, so observers are put off meanwhile.
        """
        options = sorted(values.unique().tolist())
        kept = part.value if part.value in options else options[0]
        part.unobserve(then, "value")
        part.options, part.value = options, kept
        part.observe(then, "value")
        then()

    def _show(self, _=None):
        chosen = {"method": self.method.value, "video": self.video.value}
        found = self._of(**chosen, frame=self.frame.value, compression=self.compression.value)
        self.figure = view(self.params, self.table, found.iloc[0])
        self.output.clear_output(wait=True)
        with self.output:
            display(self.figure)
