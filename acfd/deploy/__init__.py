"""A trained run made ready for use.

calibrate  what a score is worth, and the range of inputs for which that was measured
judge      the deployed branch as one function from the bytes of a crop to its log-odds
card       what it was trained on, how well it does, what it is not for
export     a run as ONNX and OpenVINO files with a model card
"""
