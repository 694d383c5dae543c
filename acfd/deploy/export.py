"""A trained run as files for deployment: ONNX, OpenVINO, and model.json, which says the rest.

What is exported is the branch that is used at test time, with its pre-processing inside: bytes of
a face crop in, log-odds of forged and the attention map out. model.json holds what a program needs
around it (how a face is cut, the calibration) and what a reader should know (the model card).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

import acfd
from acfd import detector
from acfd.deploy.card import card
from acfd.params import Params, ParamsError, digest
from acfd.paths import Paths, atomic

FORMAT = "acfd.model/1"
ABOUT = "model.json"
TOLERANCE = 1e-4  # what a score may differ by from PyTorch's
_RECIPE = 1  # count up when the same run would be exported to other files
_OPSET = 20
_PARTS = {"run", "input", "detect", "calibration", "card", "files"}
_CHECKED = 16  # crops that every exported file is tried on


class ExportError(RuntimeError):
    """A run that is not there or cannot be exported; the message says what to do."""


def about(params: Params, paths: Paths, row: str, seed: int) -> dict[str, Any]:
    """model.json of a run: where it comes from, its input and output, calibration, card.

    Raises ExportError if there is no such run, ParamsError for an unknown row.
    """
    from acfd.deploy import calibrate

    folder = _run(params, paths, row, seed)
    parts = ("row", "title", "seed", "preset", "key", "versions")
    said = calibrate.read(folder / "run.json", "train it again", *parts, "params")
    calibration = calibrate.of_run(params, paths, row, seed)
    try:
        about_it, faces = card(said, calibration), said["params"]["faces"]
    except (KeyError, TypeError) as error:
        raise ExportError(
            f"{folder / 'run.json'}: not the description of a run of this version ({error!r}); "
            "train it again"
        ) from None
    weights = folder / "model.safetensors"
    run = {k: said[k] for k in parts}
    run |= {"system": said["params"]["rows"][row]["system"], "folder": folder.as_posix()}
    return {
        "format": FORMAT,
        "acfd": acfd.__version__,
        "run": run | {"weights_sha256": _sha256(weights)},
        "input": {
            "name": "faces",
            "shape": ["N", faces["size"], faces["size"], 3],
            "type": "uint8",
            "colour": "RGB",
            "scaling": "in the graph: x / 127.5 - 1",
            "crop": (
                "square around the centre of the face's box, its side `margin` times the longer "
                "side of the box, shifted into the frame and shrunk to it where it sticks out; "
                "scaled by pixel area when it is made smaller, bicubically when larger"
            ),
            "margin": faces["margin"],
            "boxes": {
                "detector": "CenterFace",
                "sha256": detector.SHA256,
                "min_score": faces["min_score"],
                "detect_size": faces["detect_size"],
            },
        },
        "output": {
            "logit": "N; log-odds of forged; probability = 1 / (1 + exp(-logit / temperature))",
            "attention": "N x 1 x s x s in [0, 1]; not every system has it",
        },
        "detect": params.detect.model_dump(exclude={"row", "seed"}),
        "calibration": calibration,
        "card": about_it,
    }


def export(
    params: Params,
    paths: Paths,
    row: str,
    seed: int,
    folder: Path,
    *,
    said: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write model.onnx, model.xml and .bin, and model.json of a run to `folder`; returns the last.

    said: what `about` says of the run, if known.

    The model.json of an older export there goes first, the new one is written last: where one is,
    it is that of the files beside it. Every file is tried on a few crops and must give PyTorch's
    scores within TOLERANCE. Raises ExportError if one does not, or if a part of the network has no
    counterpart in ONNX.
    """
    import torch

    from acfd.detect.backends import FILES, OF_BACKEND, Torch, in_batches, of_files

    said = dict(said or about(params, paths, row, seed))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)
    size = said["input"]["shape"][1]
    judge = judge_of(params, _run(params, paths, row, seed))
    crops = _crops(size)
    expected, maps = in_batches(Torch(judge), crops, 4)
    try:
        with atomic(folder / "model.onnx") as path, _quiet():
            torch.onnx.export(
                judge,
                (torch.from_numpy(crops[:4]),),
                path,
                input_names=["faces"],
                output_names=["logit", "attention"][: 1 + (maps is not None)],
                dynamic_shapes={"faces": {0: torch.export.Dim("N")}},
                opset_version=_OPSET,
                external_data=False,
                dynamo=True,
                verbose=False,
            )
    except ImportError as error:
        raise ExportError(f"writing ONNX needs the package {error.name}; install it") from None
    except Exception as error:
        raise ExportError(f"{row}-s{seed} cannot be written as ONNX: {_cause(error)}") from error
    _to_openvino(folder)
    said["difference"] = {}
    for name in ("onnx", "openvino"):
        found, found_maps = in_batches(of_files(folder, name), crops, 4)
        worst = float(np.abs(_score(found) - _score(expected)).max())
        if maps is not None:
            worst = max(worst, float(np.abs(found_maps - maps).max()))
        if not worst <= TOLERANCE:
            raise ExportError(
                f"{folder / FILES[name]}: its scores differ from PyTorch's by up to {worst:.2g}; "
                f"expected at most {TOLERANCE:g}, so it is of no use; delete it"
            )
        said["difference"][name] = worst
    names = [*OF_BACKEND["onnx"], *OF_BACKEND["openvino"]]
    said["files"] = {name: _sha256(folder / name) for name in names}
    with atomic(folder / ABOUT) as path:
        path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    return said


def _to_openvino(folder: Path):
    import openvino as ov

    model = ov.convert_model(folder / "model.onnx")
    # .xml and .bin go together: the one that names the other is renamed last
    with atomic(folder / "model.xml") as xml:
        ov.save_model(model, xml, compress_to_fp16=False)
        xml.with_suffix(".bin").replace(folder / "model.bin")


def cached(
    params: Params,
    paths: Paths,
    row: str,
    seed: int,
    *,
    said: dict[str, Any] | None = None,
) -> Path:
    """A folder as `export` writes it, made once for each state of a run, in the scratch folder.

    said: as for `export`.
    """
    said = said or about(params, paths, row, seed)
    key = digest([_RECIPE, said["run"]["weights_sha256"], said["run"]["key"], said["input"]])
    name = f"{row}-s{seed}-{key}"
    folder = paths.scratch("exports", name)
    if not (folder / ABOUT).is_file():
        export(params, paths, row, seed, folder, said=said)
        for other in folder.parent.glob(f"{row}-s{seed}-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)  # of the run before
    return folder


def read(folder: Path) -> dict[str, Any]:
    """model.json of an exported folder.

    Raises ExportError if there is none, or if a file is not the one that it was written with.
    """
    path = folder / ABOUT
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        known = said["format"] == FORMAT and said.keys() >= _PARTS
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise ExportError(
            f"{folder}: no {ABOUT} of format {FORMAT} in it, or half of one; give a folder that "
            "`acfd export` wrote"
        )
    run, calibration = said["run"], said["calibration"]
    if calibration and calibration["key"] != run["key"]:
        raise ExportError(
            f"{path}: the run is {run['key']}, the calibration of {calibration['key']}, another "
            "training; write the folder again with `acfd export`"
        )
    for name, expected in said["files"].items():
        file = folder / name
        # whoever needs one backend alone may leave the files of the others behind
        if file.is_file() and (found := _sha256(file)) != expected:
            raise ExportError(
                f"{file}: sha256 is {found}, {ABOUT} says {expected}; it belongs to another export "
                "or was damaged in copying: copy the folder again, or write it with `acfd export`"
            )
    return said


def judge_of(params: Params, folder: Path):
    """A run's deployed branch as an `nn.Module` from bytes to log-odds: see `Judge`."""
    from acfd.deploy.judge import Judge
    from acfd.runs import load_run

    system, _ = load_run(folder, params)
    return Judge(system.deployed).eval()


def _run(params: Params, paths: Paths, row: str, seed: int) -> Path:
    folder = paths.run(row, seed)
    if not (folder / "run.json").is_file():
        if row not in params.rows:
            raise ParamsError(f"no row {row!r} in params.yaml; there are: {', '.join(params.rows)}")
        there = sorted(p.parent.name for p in folder.parent.glob("*/run.json"))
        raise ExportError(
            f"{folder}: no trained run; `make study` makes it, or choose another with --row and "
            f"--seed (or detect.row in params.yaml); there are: {', '.join(there) or 'none'}"
        )
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _score(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit.astype(np.float64)))


def _crops(size: int) -> np.ndarray:
    """Crops to try a network on: smooth, noisy, dark and bright ones."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    crops = []
    for n in range(_CHECKED):
        wave = np.stack([np.sin(7 * x + n), np.cos(5 * y - n), np.sin(3 * (x + y) + n)], -1)
        crops.append(128 + 90 * wave * (n + 1) / _CHECKED + rng.normal(0, 3 * n, wave.shape))
    return np.clip(crops, 0, 255).astype(np.uint8)


@contextmanager
def _quiet():
    """What torch's exporter says of its own workings is no news to who exports a model."""
    level = logging.getLogger("torch.onnx").level
    with (
        warnings.catch_warnings(),
        open(os.devnull, "w") as null,
        redirect_stdout(null),
        redirect_stderr(null),
    ):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        yield
    logging.getLogger("torch.onnx").setLevel(level)


def _cause(error: BaseException) -> str:
    """The first line of what was wrong at the bottom of it, without colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip() or type(error).__name__
    return text.splitlines()[0]
