"""`acfd detect`: a trained run on a user's own images and videos.

media     what a file holds, and some of its frames
faces     found, followed, cut as in training
backends  the network by OpenVINO, ONNX Runtime or PyTorch
report    the records that are written, and so the JSON schema
verdict   log-odds -> probability, interval, verdict, flags: the report of a file
overlay   boxes and attention maps as a picture or a video
core      `Detector`, which joins them
command   `acfd detect` itself
"""
