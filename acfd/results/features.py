"""What features of paired test faces say: have the two qualities of a face come together?"""

import pandas as pd


def summary(stored: pd.DataFrame) -> pd.DataFrame:
    """Do the qualities come together? A line a (row, state): medians over faces of own, other,
    their ratio, and the share of faces at low quality whose nearest high-quality one is its own."""
    low = stored[stored["quality"] == "low"]
    low = low.assign(ratio=low["own"] / low["other"], nearest=low["nearer"] == 0)
    groups = low.groupby(["row", "state"], sort=False)
    medians = groups[["own", "other", "ratio"]].median()
    return medians.assign(nearest=groups["nearest"].mean()).reset_index()
