"""A trained run as files for deployment: ONNX, OpenVINO, and model.json, which says the rest.

What is exported is the branch that is used at test time, with its pre-processing inside: bytes of
a face crop in, log-odds of forged and the attention map out. model.json holds what a program needs
around it (how a face is cut, the calibration) and what a reader should know (the model card).
"""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.special import expit

import acfd
from acfd.detector.backends import ONNX, WEIGHTS, XML, by_openvino, by_torch
from acfd.detector.files import DeployError, same_file
from acfd.detector.files import read as read_json
from acfd.media import centerface
from acfd.params import Params, digest
from acfd.paths import Paths, atomic, sha256

FORMAT = "acfd.model/2"
ABOUT = "model.json"
OUTSIDE = "outside.json"  # beside a released run: what benchmarks/outside.py found of it
TOLERANCE = 1e-4  # what a score may differ by from PyTorch's
_RECIPE = 3  # count up when the same run would be exported to other files
_OPSET = 20
_PARTS = ("format", "run", "input", "detect", "calibration", "card", "files")
_CHECKED = 16  # crops that an export is tried on
_CROP = (
    "square around the centre of the face's box, its side `margin` times the longer side of the "
    "box, shifted into the frame and shrunk to it where it sticks out; scaled by pixel area when "
    "it is made smaller, bicubically when larger"
)


def about(params: Params, paths: Paths, row: str, seed: int) -> dict[str, Any]:
    """model.json of a run: where it comes from, its input and output, calibration, card. Raises
    DeployError if there is no such run."""
    from acfd.detector import calibrate

    folder = paths.run(row, seed)
    if not (folder / "run.json").is_file():
        there = sorted(p.parent.name for p in folder.parent.glob("*/run.json"))
        raise DeployError(
            f"{folder}: no trained run; `make study` makes it, or choose another with --row and "
            f"--seed (or detect.row in params.yaml); there are: {', '.join(there) or 'none'}"
        )
    if not (folder / "model.safetensors").is_file():
        raise DeployError(
            f"{folder / 'model.safetensors'}: no such file, the run's weights; train it again: "
            f"`acfd train --row {row} --seed {seed}`"
        )
    parts = ("row", "title", "seed", "preset", "key", "versions")
    more = ("params", "deployed_parameters")
    said = read_json(folder / "run.json", "train it again", *parts, *more)
    calibration = calibrate.of_run(params, paths, row, seed)
    faces = said["params"]["faces"]
    boxes = {"detector": "CenterFace", "sha256": centerface.SHA256}
    sha = sha256(folder / "model.safetensors")
    outside = folder / OUTSIDE
    found = read_json(outside, "take it from git, or delete it") if outside.is_file() else {}
    found = {name: of for name, of in found.items() if of.pop("weights_sha256") == sha}
    run = {k: said[k] for k in parts}
    run |= {"system": said["params"]["rows"][row]["system"], "folder": folder.as_posix()}
    return {
        "format": FORMAT,
        "acfd": acfd.__version__,
        "run": run | {"weights_sha256": sha},
        "input": {
            "faces": "N x size x size x 3 RGB uint8; scaling, x / 127.5 - 1, is in the graph",
            "size": faces["size"],
            "crop": _CROP,
            "margin": faces["margin"],
            "boxes": boxes | {k: faces[k] for k in ("min_score", "detect_size")},
        },
        "output": {
            "logit": "N; log-odds of forged; probability = 1 / (1 + exp(-logit / temperature))",
            "attention": "N x 1 x s x s in [0, 1]; not every system has it",
        },
        "detect": params.detect.model_dump() | {"row": row, "seed": seed, "backend": "auto"},
        "calibration": calibration,
        "card": card(said, calibration) | ({"outside": found} if found else {}),
    }


def card(said: dict[str, Any], calibration: dict[str, Any] | None) -> dict[str, Any]:
    """The model card: what a run (its run.json) was trained on, how well it does, what it is not
    for. calibration: from `calibrate.of_run`, or None."""
    p = said["params"]
    data, forgeries, qualities = p["data"], p["train"]["methods"], p["train"]["qualities"]
    if p["rows"][said["row"]]["system"] == "two_branch":
        # it is used by the branch that saw the low quality
        qualities = ["high", "low"] if p["model"]["branches"] == "shared" else ["low"]
    not_for = [
        "proof: no result here says that a video is genuine",
        "forgeries of kinds that it was not trained on, of which nothing is known",
        "voices, whole generated pictures, edits outside faces",
        "decisions on people without a human who looks at the evidence",
    ]
    if data["source"] == "synthff":
        people = p["synthff"]["identities"]["train"]
        trained_on = f"SynthFF: {people} generated people, forgeries that imitate artefacts of "
        trained_on += ", ".join(forgeries)
        terms = "ImageNet and the face generator behind SynthFF are for research"
        not_for.append("real people: it saw generated ones alone")
    else:
        trained_on = f"the videos at data.root ({data['source']})"
        terms = "the terms of the data set that it was trained on"
    fits = calibration and {k: calibration[k]["calibrated"] for k in ("frames", "videos")}
    return {
        "is": f"{said['title']}: one frame's face crop in, probability of forged out",
        "parameters": said["deployed_parameters"],
        "trained_on": {
            "data": trained_on,
            "forgeries": forgeries,
            "compression": [data[q] for q in qualities],
            "blended_afresh": p["augment"]["blend"],
            "degraded": p["augment"]["degrade"],
        },
        "calibrated": fits,
        "results": calibration and calibration["test"],
        "use": "research on forged faces; a hint where to look, beside other evidence",
        "not_for": not_for,
        "licence": f"code Apache-2.0; {terms}",
    }


def export(
    params: Params,
    paths: Paths,
    row: str,
    seed: int,
    folder: Path,
    said: dict | None = None,
    onnx: bool = True,
) -> dict[str, Any]:
    """Write model.onnx, model.xml and .bin, and model.json of a run to `folder`; returns the last.
    said: what `about` says of the run, if known. onnx: False leaves out model.onnx.

    The model.json of an older export there goes first, the new one is written last: where one is,
    it is that of the files beside it. The OpenVINO files are tried on a few crops and must give
    PyTorch's scores within TOLERANCE. Raises DeployError if they do not, or if a part of the
    network has no counterpart in these formats.
    """
    import openvino
    import torch
    from openvino.frontend import OpConversionFailure

    said = dict(said or about(params, paths, row, seed))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)
    judge = judge_of(params, paths.run(row, seed))
    crops = crops_of(said["input"]["size"])
    expected, maps = by_torch(judge)(crops, 4)
    names = [ONNX] if onnx else []
    try:
        shapes = {"faces": {0: torch.export.Dim("N")}}
        with torch.no_grad():
            program = torch.export.export(
                judge, (torch.from_numpy(crops[:4]),), dynamic_shapes=shapes
            )
        if onnx:
            outputs = ["logit", "attention"][: 1 + (maps is not None)]
            with atomic(folder / ONNX) as path:
                torch.onnx.export(
                    program,
                    f=path,
                    input_names=["faces"],
                    output_names=outputs,
                    opset_version=_OPSET,
                    external_data=False,
                    dynamo=True,
                    verbose=False,
                )
        model = openvino.convert_model(program)
    except (torch.onnx.OnnxExporterError, OpConversionFailure, RuntimeError) as error:
        raise DeployError(
            f"{row}-s{seed} cannot be exported; `acfd --traceback export` shows why"
        ) from error
    # .xml and .bin go together: the one that names the other is renamed last
    with atomic(folder / XML) as xml:
        openvino.save_model(model, xml, compress_to_fp16=False)
        xml.with_suffix(".bin").replace(folder / WEIGHTS)
    found, found_maps = by_openvino(folder)(crops, 4)
    worst = float(np.abs(expit(found) - expit(expected)).max())
    if maps is not None:
        worst = max(worst, float(np.abs(found_maps - maps).max()))
    if not worst <= TOLERANCE:
        raise DeployError(
            f"{folder / XML}: its scores differ from PyTorch's by up to {worst:.2g}; "
            f"expected at most {TOLERANCE:g}, so it is of no use; delete it"
        )
    said |= {"difference": worst, "files": {n: sha256(folder / n) for n in (*names, XML, WEIGHTS)}}
    with atomic(folder / ABOUT) as path:
        path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    return said


def cached(params: Params, paths: Paths, said: dict[str, Any], make: bool = True) -> Path | None:
    """A folder as `export` writes it, made once for each state of a run, in the scratch folder.
    said: what `about` says of the run. make: False gives None where it has not been made."""
    of = said["run"]
    name = f"{of['row']}-s{of['seed']}"
    key = digest([_RECIPE, of["weights_sha256"], of["key"], said["input"]])
    folder = paths.scratch("exports", f"{name}-{key}")
    if not (folder / ABOUT).is_file():
        if not make:
            return None
        export(params, paths, of["row"], of["seed"], folder, said, onnx=False)
        for other in folder.parent.glob(f"{name}-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)  # of the run before
    return folder


def read(folder: Path) -> dict[str, Any]:
    """model.json of an exported folder. Raises DeployError if there is none, or if a file is not
    the one that it was written with."""
    path, otherwise = folder / ABOUT, "give a folder that `acfd export` wrote"
    said = read_json(path, otherwise, *_PARTS)
    if said["format"] != FORMAT:
        raise DeployError(f"{path}: of format {said['format']}, not {FORMAT}; {otherwise}")
    why = "it belongs to another export or was damaged in copying: copy the folder again, or write "
    for name in (XML, WEIGHTS):
        same_file(folder / name, said["files"][name], ABOUT, why + "it with `acfd export`")
    return said


def judge_of(params: Params, folder: Path):
    """A run's deployed branch as `as_judge` makes it."""
    from acfd.runs.run import load_run

    return as_judge(load_run(folder, params)[0].deployed)


def as_judge(branch):
    """A branch as an `nn.Module`: N x S x S x 3 RGB uint8, scaled as `pairs.prepare` does -> (the
    difference of the two logits, which is the log-odds of forged, N; attention N x 1 x s x s, if
    any)."""
    from torch import nn

    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = branch

        def forward(self, faces):
            out = self.branch(faces.permute(0, 3, 1, 2).float() / 127.5 - 1)
            logit = out.logits[:, 1] - out.logits[:, 0]
            return (logit,) if out.attention is None else (logit, out.attention)

    return Judge().eval()


def crops_of(size: int) -> np.ndarray:
    """Crops to try a network on, from smooth to noisy: _CHECKED x size x size x 3 uint8."""
    rng, sides = np.random.default_rng(0), np.linspace(2, size, _CHECKED).astype(int)
    coarse = [rng.integers(0, 256, (side, side, 3), np.uint8) for side in sides]
    return np.stack([cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC) for c in coarse])
