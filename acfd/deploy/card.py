"""The model card: what a run was trained on, how well it does, what it is not for."""

from __future__ import annotations

from typing import Any


def card(said: dict[str, Any], calibration: dict[str, Any] | None) -> dict[str, Any]:
    """The card, as plain values.

    said: a run's run.json; calibration: from `calibrate.of_run`, or None.
    """
    p = said["params"]
    data, people = p["data"], p["synthff"]["identities"]
    made = data["source"] == "synthff"
    qualities = p["train"]["qualities"]
    if p["rows"][said["row"]]["system"] == "two_branch":
        # it is used by the branch that saw the low quality
        qualities = ["high", "low"] if p["model"]["branches"] == "shared" else ["low"]
    return {
        "name": f"acfd {said['preset']} {said['row']}-s{said['seed']}",
        "is": f"{said['title']}: one frame's face crop in, probability of forged out",
        "parameters": said["deployed_parameters"],
        "trained_on": {
            "data": (
                f"SynthFF: {people['train']} generated people, forgeries that imitate artefacts of "
                f"{', '.join(p['train']['methods'])}"
                if made
                else f"the videos at data.root ({data['source']})"
            ),
            "forgeries": p["train"]["methods"],
            "compression": [data[q] for q in qualities],
            "blended_afresh": p["augment"]["blend"],
            "degraded": p["augment"]["degrade"],
            "crop_pixels": p["faces"]["size"],
            "people_val": people["val"] if made else None,
            "people_test": people["test"] if made else None,
        },
        "calibrated": {k: calibration[k]["calibrated"] for k in ("frames", "videos")}
        if calibration
        else None,
        "results": (calibration or {}).get("test"),
        "use": "research on forged faces; a hint where to look, beside other evidence",
        "not_for": [
            "proof: no result here says that a video is genuine",
            "forgeries of kinds that it was not trained on, of which nothing is known",
            "voices, whole generated pictures, edits outside faces",
            *(["real people: it saw generated ones alone"] if made else []),
            "decisions on people without a human who looks at the evidence",
        ],
        "licence": (
            "code Apache-2.0; ImageNet and the face generator behind SynthFF are for research"
            if made
            else "code Apache-2.0; the terms of the data set that it was trained on"
        ),
    }
