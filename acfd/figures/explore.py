"""Look around in stored attention maps: a widget to choose a run, a video, a frame and a
compression, for JupyterLab. Nothing is trained or run: maps are stored, so it answers at once."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from acfd.faces.shards import PairTable
from acfd.figures.attention import attention_maps
from acfd.params import Params
from acfd.paths import Paths
from acfd.results import method
from acfd.results.maps import faces


def someone_is_there() -> bool:
    """Is the notebook open in front of somebody? Not if papermill executes it: widgets would then
    only leave ids in the copy that differ each time."""
    shell = get_ipython()
    # a front end that could pass on an answer says so with every cell that it sends
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def view(params: Params, table: PairTable, line: pd.Series) -> Figure:
    """One face at both qualities, its mask, and what both branches made of it (`maps.faces`)."""
    pair = table.read(int(line["face"]))
    high, low = params.data.high, params.data.low
    maps = {
        f"{quality} branch,\nshown {shown}": [line[of]] * 2
        for quality, shown, of in (
            (high, high, "high_branch"),
            (low, line["compression"], "low_branch"),
        )
    }
    both = [np.stack(of) for of in ([pair["high"], pair["low"]], [pair["mask"]] * 2)]
    fig = attention_maps(*both, maps, [high, low])
    truth = f"forged ({line['method']})" if line["label"] else "real"
    fit = f", IoU {line['iou']:.2f}" if line["label"] and np.isfinite(line["iou"]) else ""
    who = f"{line['video']}, frame {line['frame']}"
    fig.suptitle(f"{who}: {truth}, score {line['score']:.2f}{fit}", fontsize=8)
    return fig


class Explorer(widgets.VBox):
    """The widget: `Explorer(params, paths)` in a cell; `figure` is what it shows now."""

    def __init__(self, params: Params, paths: Paths):
        """The runs are those of `method.mapped`."""
        self.params, self.table = params, PairTable(paths.faces)
        runs = params.runs(method.mapped(params))
        self._faces = lru_cache(maxsize=4)(lambda run: faces(params, paths, *run))
        names = [(f"{params.rows[row].title}, seed {seed}", (row, seed)) for row, seed in runs]
        both = [params.data.low, params.data.high]
        self.run = widgets.Dropdown(options=names, description="run")
        self.compression = widgets.ToggleButtons(options=both, description="compression")
        self.method = widgets.Dropdown(description="method")
        self.video = widgets.Dropdown(description="video")
        self.frame = widgets.SelectionSlider(options=[0], description="frame")
        self.output = widgets.Output()
        self.figure: Figure | None = None
        self._offering = False  # options and choice change one after the other
        choices = [self.run, self.method, self.video, self.frame, self.compression]
        for part in choices:
            part.observe(self._chosen, "value")
        super().__init__([widgets.HBox(choices[:3]), widgets.HBox(choices[3:]), self.output])
        self._chosen()

    def _chosen(self, _=None):
        """Offer what there is of each choice, keeping the old one if it is there, and show it."""
        if self._offering:
            return
        found = self._faces(self.run.value)
        found = found[found["compression"] == self.compression.value]
        self._offering = True
        for column in ("method", "video", "frame"):
            part, options = getattr(self, column), sorted(found[column].unique().tolist())
            kept = part.value if part.value in options else options[0]
            part.options, part.value = options, kept
            found = found[found[column] == kept]
        self._offering = False
        self.figure = view(self.params, self.table, found.iloc[0])
        self.output.clear_output(wait=True)
        with self.output:
            display(self.figure)
