"""A detection as a picture or a video: the frame with its boxes, what the network saw of the most
suspicious face and where it looked, and the probability over time. Only frames that were judged are
shown, each until the next, so that nothing on the screen is made up between them."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from acfd.detector.media import Frames
from acfd.faces.crops import resize
from acfd.faces.shards import encode_png
from acfd.media.video import write_video
from acfd.paths import atomic

# of verdicts; Okabe and Ito's
COLOURS = {"forged": "#D55E00", "no_forgery_found": "#0072B2", "inconclusive": "#787878"}
HEAT = matplotlib.colormaps["inferno"]
QUIET, LINE = "#6E6E6E", "#D7D7D7"
_SIZE = (11.2, 7.0)  # inches of 100 pixels: even sides, as an encoder wants them
_FASTEST = 60.0  # frames a second of an overlay
_CRF = 20


def write(found, path: Path) -> Path:
    """Write a `core.Detection` as a picture (.png; of a video its most suspicious frame) or a video
    (.mp4). Raises ValueError for another ending, or where there is no face to show."""
    if not found.seen:
        raise ValueError(f"{found.report.path}: no judged face, so there is nothing to show")
    page = Page(found)
    if path.suffix == ".png":
        # frames of the face that decided before others, then by their score
        of_face = [s.face == found.report.decided_by for s in found.seen]
        worst = max(zip(of_face, found.log_odds, (s.frame for s in found.seen)))[-1]
        ((index, picture),) = Frames(found.media, [worst])
        with atomic(path) as temporary:
            temporary.write_bytes(encode_png(page.draw(index, picture)))
    elif path.suffix == ".mp4":
        rate = min(len(found.chosen) / (found.media.duration or 1.0), _FASTEST)
        drawn = (page.draw(*frame) for frame in Frames(found.media, found.chosen))
        write_video(path, drawn, rate, crf=_CRF, pix_fmt="yuv420p", preset="fast")
    else:
        raise ValueError(f"{path}: an overlay is a .png or an .mp4")
    return path


class Page:
    """The canvas for one file: what all of its frames share is drawn once."""

    def __init__(self, found):
        self.found, r, by = found, found.report, found.report.model
        self.probability = found.rows["probability"]
        self.colours = {f.face: COLOURS[f.verdict] for f in r.faces}
        self.chart = found.media.kind == "video"
        grid = [["frame", "crop"], ["frame", "map"]] + [["chart", "chart"]] * self.chart
        fig = Figure(_SIZE, dpi=100, layout="constrained")
        self.canvas = FigureCanvasAgg(fig)
        ratios = (2, 2, 1)[: len(grid)]
        self.axes = fig.subplot_mosaic(grid, width_ratios=(3, 1), height_ratios=ratios)
        attention = "where it looks" if found.maps is not None else "no attention map"
        titles = {"frame": "", "crop": "what the network sees", "map": attention}
        for name, title in titles.items():
            wide, high = (1, 1) if title else (found.media.width, found.media.height)
            self.axes[name].set(xlim=(0, wide), ylim=(high, 0), aspect="equal")
            self.axes[name].set_axis_off()
            self.axes[name].set_title(title, fontsize=9, color=QUIET)
        text = {"x": 0.01, "ha": "left", "wrap": True, "parse_math": False}
        # without the path, which may be in letters that the font has not
        said = r.line().removeprefix(f"{r.path}: ")
        fig.suptitle(said, fontsize=10, color=COLOURS[r.verdict], **text)
        about = f"acfd {r.acfd}, {by.preset} {by.run}, trained on {by.trained_on}"
        fig.supxlabel(about, fontsize=8, color=QUIET, **text)
        if self.chart:
            self._chart(self.axes["chart"])
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(fig.bbox)

    def _chart(self, ax: Axes) -> None:
        """Probability of every judged frame over time."""
        found, r = self.found, self.found.report
        if r.interval is not None:
            ax.axhspan(*r.interval, color=COLOURS[r.verdict], alpha=0.18, lw=0)
        # no line over frames without the face
        lines = found.rows.pivot_table(index="frame", columns="face", values="probability")
        lines = lines.reindex(found.chosen)
        for face in sorted(lines, key=lambda face: face == r.decided_by):
            colour = self.colours[face] if face == r.decided_by else LINE
            ax.plot(found.media.times[found.chosen], lines[face], ".-", color=colour, lw=1)
        ax.set(xlim=(0, found.media.duration), ylim=(-0.05, 1.05), yticks=[0, 0.5, 1])
        title = "probability of forged over the seconds; band: interval of the mean"
        ax.set_title(title, loc="left", fontsize=9, color=QUIET)
        ax.tick_params(labelsize=8)
        ax.grid(axis="y", color=LINE)

    def draw(self, index: int, picture: np.ndarray) -> np.ndarray:
        """The page with one frame (H x W x 3 RGB uint8) on it: 700 x 1120 x 3 RGB uint8."""
        found, axes = self.found, self.axes
        here = [i for i, s in enumerate(found.seen) if s.frame == index]
        self.canvas.restore_region(self.background)
        page = np.asarray(self.canvas.buffer_rgba())[:, :, :3]  # not a copy
        _show(page, axes["frame"], picture)
        drawn = [axes["chart"].axvline(found.media.times[index], color=QUIET)] if self.chart else []
        for i in here:
            face, (x0, y0, x1, y1) = found.seen[i].face, found.seen[i].square
            colour = self.colours[face]
            box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=colour, lw=2)
            number = f"face {face}  " if len(self.colours) > 1 else ""
            text = f"{number}{self.probability[i]:.2f}"
            style = {"color": "white", "backgroundcolor": colour, "va": "top", "fontsize": 10}
            drawn += [axes["frame"].add_patch(box), axes["frame"].text(x0, y0, text, **style)]
        if shown := [i for i in here if found.seen[i].face == found.report.decided_by] or here:
            x0, y0, x1, y1 = found.seen[shown[0]].square
            crop = resize(picture[y0:y1, x0:x1], found.crop_size)
            _show(page, axes["crop"], crop)
            if found.maps is not None:
                # grey, or the face's colours would mix with the map's
                grey = crop.mean(-1, keepdims=True)
                smooth = {"dsize": crop.shape[:2], "interpolation": cv2.INTER_CUBIC}
                heat = 255 * HEAT(cv2.resize(found.maps[shown[0]], **smooth))[:, :, :3]
                _show(page, axes["map"], (0.35 * grey + 0.65 * heat).astype(np.uint8))
        for artist in drawn:
            artist.axes.draw_artist(artist)
            artist.remove()
        return page.copy()


def _show(page: np.ndarray, ax: Axes, image: np.ndarray) -> None:
    """Put an image on the page where the axes are: faster than drawing it anew every frame."""
    x0, low, x1, high = ax.get_window_extent().extents.round().astype(int)
    how = cv2.INTER_AREA if x1 - x0 < image.shape[1] else cv2.INTER_CUBIC
    image = cv2.resize(image, (x1 - x0, high - low), interpolation=how)
    page[len(page) - high : len(page) - low, x0:x1] = image
