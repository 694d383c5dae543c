"""`acfd detect`: a trained run on a user's own images and videos.

media      what a file holds, and some of its frames
faces      found, followed, cut as in training
backends   the network by OpenVINO or PyTorch
export     a run as ONNX and OpenVINO files with a model card
calibrate  what a score is worth, and the range of inputs for which that was measured
report     the records that are written, and so the JSON schema
verdict    log-odds -> probability, interval, verdict, flags: the report of a file
overlay    boxes and attention maps as a picture or a video
core       `Detector`, which joins them
command    `acfd detect` itself
"""
