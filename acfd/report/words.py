"""The words of a report: what a section is about, what a figure shows to those who cannot see it,
and what stands below it. Numbers do not belong here: they come from results/."""

from __future__ import annotations

ABOUT = {
    "table1": (
        "Every system is trained again on the same faces and scored on the same faces, so a "
        "difference between two rows is one of the systems. The paper's own numbers are of "
        "FaceForensics++ and stand beside ours for orientation: what can be compared is the order "
        "of the rows, and whether differences are larger than their intervals."
    ),
    "compression": (
        "The same test faces at both qualities, judged by the same network. What is lost has to be "
        "read beside both ends: a network that saw only low quality may lose little because it is "
        "no better on high quality. The row that is trained on both without the paper's losses "
        "tells the losses from the second half of the data."
    ),
    "left_out": (
        "Trained on all manipulations but one, tested on that one; beside it the same system that "
        "was trained on it too, on the same faces."
    ),
    "table2": (
        "One loss after the other, on Deepfakes alone. A difference is paired, on the same faces, "
        "to the first row; if its interval includes zero, this study cannot tell the two apart. "
        "Not in the paper are the row on both qualities, without which more data cannot be told "
        "from better losses, two branches without these losses, and Cao et al. as printed."
    ),
    "attention": (
        "The paper multiplies features by a map M that should say which pixels were forged. The "
        "high-quality branch learns it from the mask, the low-quality branch from the high-quality "
        "one (Eq. 5). IoU compares a map of the low-quality branch with the mask, both cut at 0.5; "
        "the other columns are means of the maps over forged cells and elsewhere. Eq. 6 pulls the "
        "features of one face at both qualities together: distances are medians over test faces, "
        "the ratio is the first by the second, before training (ImageNet) and after."
    ),
    "robustness": (
        "The same test faces after degradations of the whole frame. Most systems were trained on "
        "none of them but c23 and c40, those marked ‡ on more. An area is the mean of a measure "
        "over the levels of a family, from the untouched frame to the strongest level; families "
        "count alike in the mean over all."
    ),
    "calibration": (
        "Log-odds of the detector are divided by a temperature that was fitted on the validation "
        "split, so that a probability means what it says: one at even odds. The error is the mean "
        "distance between the probability that is said and the share that is found."
    ),
    "data": (
        "The videos, and the pairs of faces that were cut from them. A pair of people, whose faces "
        "are swapped with each other, belongs to one split as a whole."
    ),
}

# Section -> <folder>/<name> of a figure -> (what it shows, what stands below it), in their order.
# A figure that is not named here is shown at the end of the section of its folder.
FIGURES = {
    "table1": {
        "table1/curves": (
            "A curve a system: validation AUC against optimiser steps.",
            "Learning curves. A row that still rises by more than a point over the last quarter "
            "of its steps has a dagger, not converged, in every table.",
        ),
        "table1/table1": (
            "A line a system: dots with intervals of the measures of Table 1.",
            "Table 1 as a figure, with intervals. Hollow diamonds are the paper's own numbers.",
        ),
        "table1/methods": (
            "A panel a manipulation, a dot with its interval for each system.",
            "AUC by manipulation: one manipulation's forgeries at a time against all real faces.",
        ),
        "table1/cost": (
            "Systems by what they cost and what they reach.",
            "What a row costs: faces judged a second once deployed, and the time of training.",
        ),
    },
    "compression": {
        "table1/compression": (
            "A line a system from its AUC at high quality to that at low quality.",
            "What is lost between the two qualities.",
        ),
    },
    "left_out": {
        "table1/left_out": (
            "Pairs of dots with intervals: trained without a manipulation, and with it.",
            "AUC on a manipulation that was left out, beside the row that saw it.",
        ),
    },
    "table2": {
        "table2/curves": (
            "A curve a row: validation AUC against optimiser steps.",
            "Learning curves. A row that still rises by more than a point over the last quarter "
            "of its steps has a dagger, not converged, in every table.",
        ),
        "table2/table2": (
            "A line a row of Table 2: dots with intervals of its measures.",
            "Table 2 as a figure, with intervals. Hollow diamonds are the paper's own numbers.",
        ),
        "table2/roc": ("ROC curves, one a row.", "ROC of every row at low quality."),
        "table2/scores": (
            "Histograms of scores of real and of forged faces, a panel a row.",
            "Scores of real and forged test faces. The threshold is one half.",
        ),
    },
    "attention": {
        "attention/gallery": (
            "Test faces with the outline of what was forged, and heat maps of both branches.",
            "Where the two branches look, from the surest to the most doubted of each class.",
        ),
        "attention/averages": (
            "The mean mask and the mean maps of both branches, for each manipulation.",
            "On average over test faces.",
        ),
        "attention/cases": (
            "Test faces with mask and maps, the best and the worst fit of each manipulation.",
            "Best and worst cases: the maps that fit the mask best, and worst.",
        ),
        "attention/real": (
            "Mean of the map on forged regions, elsewhere and on real faces, and their ratio.",
            "Real faces beside forged ones. A ratio of 1 says that a real face looks as forged as "
            "a forged one.",
        ),
        "attention/method": (
            "Panels by training step: norms, hinges, distances, the critic, attention; a line a "
            "row.",
            "Does the method do what it says? Dashed: the radii of Eq. 6, and equal distances.",
        ),
        "attention/course": (
            "Mean attention on forged cells and elsewhere, by training step, a panel a run.",
            "The collapse of Eq. 5: on forged pixels the map has to stay above that elsewhere.",
        ),
        "attention/epochs": (
            "Maps of the same forged validation faces, a line a validation.",
            "The low-quality branch's maps of the same faces in the course of training.",
        ),
        "attention/collapse": (
            "Maps of Eq. 5 as printed and of the cured run on the same forged faces.",
            "The maps at the end of training.",
        ),
        "attention/norms": (
            "Distributions of feature norms of real and forged faces, before and after training.",
            "Norms of features, with the radii of Eq. 6.",
        ),
        "attention/embedding": (
            "Features of test faces in a plane; lines join the two qualities of one face.",
            "Features in their first two principal components: two of many dimensions.",
        ),
    },
    "robustness": {
        "robustness/overview": (
            "A panel a degradation: a curve a system, from mild to strong.",
            "AUC by level of each degradation.",
        ),
        "robustness/areas": (
            "Areas under the curves, a line a system, and differences by family.",
            "The area under each curve, and paired differences to the reference (of grey rows in "
            "the table alone). Rows marked ‡ were trained on degraded pictures.",
        ),
        "copies/levels": (
            "A real face and forgeries at the strongest level of every degradation.",
            "What the strongest level of each degradation looks like.",
        ),
    },
    "calibration": {
        "calibration/reliability": (
            "Probability that is said against the share of forged that is found, and a diagonal.",
            "Reliability of frames and videos: on the diagonal a probability means what it says.",
        ),
    },
    "data": {
        "videos/forgeries": (
            "One person: the real frame and each forgery, at several compressions, and masks.",
            "One person of the test split, real and forged, at each compression.",
        ),
        "videos/variety": (
            "Rows of forged frames, a manipulation each, of different people.",
            "The same manipulations on other people.",
        ),
        "videos/sizes": (
            "Box plots of bytes a frame, by compression and class.",
            "Bytes a frame. If sizes told real from forged, a detector would learn that.",
        ),
        "faces/pairs": (
            "Faces at high and at low quality, their amplified difference, and masks.",
            "Pairs as they are trained on. The difference is amplified five times.",
        ),
    },
}
