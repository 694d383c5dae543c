"""The study as one page: results/<preset>/report.html, which a browser reads without a server.

sections    what is shown of each stage
headline    the numbers that it begins with
facts       commit, versions, machine, runs, changed parameters
words       texts and captions
"""

from __future__ import annotations

import base64
import re
import struct
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from acfd.params import Params, ParamsError, load
from acfd.paths import Paths, atomic
from acfd.report import facts, headline, sections
from acfd.report.sections import ReportError
from acfd.tables.markdown import duration

__all__ = ["ReportError", "write"]

TEMPLATE = "page.html.j2"  # beside this file
DOTS = 150  # an inch of the study's PNGs, see figures.save
VECTOR = 200_000  # bytes of an SVG, beyond which its PNG is smaller or as good
PIXELS = 400_000  # bytes of a PNG, beyond which it is coded as WebP
WIDEST = 2000  # pixels of a picture that is coded again
RUNS_NOTEBOOK = "03_train"


def write(params: Params, top: Path = Path()) -> Path:
    """Write results/<preset>/report.html from what the stages left there; returns its path.

    top: the project's folder, with params.yaml and presets/. What a stage has not made yet is named
    with the command that makes it.
    Raises ReportError for a file in results/ that is not as this version writes it.
    """
    paths = Paths.of(params, top)
    preset = top / "presets" / f"{params.preset}.yaml"
    runs = facts.runs(params, paths)
    for line in runs:
        own = {"notebook": paths.notebooks / f"{RUNS_NOTEBOOK}-{line['name']}.ipynb"}
        own["scores"] = paths.scores(line["row"], line["seed"])
        line |= {what: _link(path, paths) if path.is_file() else "" for what, path in own.items()}
    seconds = [line["seconds"] for line in runs if line["seconds"] is not None]
    page = _environment(paths).get_template(TEMPLATE)
    text = page.render(
        preset=params.preset,
        about=facts.about_preset(preset),
        params=params,
        sections=sections.of_study(params, paths),
        headlines=headline.of_study(params, paths),
        runs=runs,
        done=len(seconds),
        seconds=sum(seconds),
        files=_files(paths),
        changed=facts.changed(params, preset),
        yaml=_yaml(params, top / "params.yaml"),
        commit=facts.commit(top),
        versions=facts.versions(),
        machine=facts.machine(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    path = paths.results / "report.html"
    with atomic(path) as f:
        f.write_text(text, encoding="utf-8")
    return path


def _environment(paths: Paths) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "table": table_html,
        "picture": picture,
        "duration": duration,
        "link": lambda path: _link(path, paths),
    }
    return environment


def table_html(text: str) -> str:
    """A Markdown table as HTML. Cells are plain text: whatever else a title of a row may hold,
    HTML, links, pictures, is shown as it is written."""
    reader = MarkdownIt("zero").enable("table")
    tokens, in_body, first = reader.parse(text), False, False
    for token in tokens:
        if token.type in ("tbody_open", "tbody_close"):
            in_body = token.type == "tbody_open"
        elif token.type == "tr_open":
            first = True
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type in ("td_open", "td_close") and in_body and first:
            token.tag = "th"
            if token.nesting == 1:
                token.attrSet("scope", "row")
            first = token.nesting == 1
    return reader.renderer.render(tokens, reader.options, {})


def picture(path: Path) -> dict[str, str | int]:
    """A figure as src (a data URI), width and height in CSS pixels at its size on paper.

    The SVG beside the PNG if there is one and it is not large; a large PNG as WebP.
    """
    content, kind = path.read_bytes(), "png"
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ReportError(f"{path}: not a PNG; make it again: its stage with `dvc repro`")
    size = struct.unpack(">II", content[16:24])
    width, height = (max(1, round(n * 96 / DOTS)) for n in size)
    vector = path.with_suffix(".svg")
    if vector.is_file() and vector.stat().st_size <= VECTOR:
        content, kind = vector.read_bytes(), "svg+xml"
    elif len(content) > PIXELS:
        content, kind = _smaller(content), "webp"
    code = base64.b64encode(content).decode("ascii")
    return {"src": f"data:image/{kind};base64,{code}", "width": width, "height": height}


def _smaller(png: bytes) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    height, width = pixels.shape[:2]
    if width > WIDEST:
        size = (WIDEST, max(1, round(height * WIDEST / width)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 90])[1].tobytes()


def _files(paths: Paths) -> dict[str, list[tuple[str, str]]]:
    """Kind -> (name, link) of what else is there, but for what belongs to one run."""
    kinds = {
        "Notebooks as executed": ("notebooks", "*.ipynb"),
        "Tables": ("tables", "*.csv"),
        "Metrics": ("metrics", "*.json"),
        "Features": ("features", "*.parquet"),
        "Scores of degraded copies": ("robustness", "*.parquet"),
    }
    found = {}
    for kind, (folder, pattern) in kinds.items():
        there = sorted((paths.results / folder).glob(pattern))
        there = [p for p in there if not re.match(rf"{RUNS_NOTEBOOK}-|.*\.failed\.", p.name)]
        found[kind] = [(p.name, _link(p, paths)) for p in there]
    return {kind: names for kind, names in found.items() if names}


def _link(path: Path, paths: Paths) -> str:
    """Relative to the page."""
    return quote(path.relative_to(paths.results).as_posix())


def _yaml(params: Params, path: Path) -> str:
    """params.yaml with its comments, if it says what `params` do; else `params` alone."""
    try:
        if load(path) == params:
            return path.read_text()
    except ParamsError:
        pass
    text = StringIO()
    YAML().dump(params.model_dump(mode="json"), text)
    return text.getvalue()
