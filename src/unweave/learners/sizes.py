"""How large a model is, before there is one."""

from __future__ import annotations

import math
from itertools import pairwise

from unweave.learners.specs import LearnerSpec


def model_bytes(spec: LearnerSpec) -> int:
    """Bytes of the parameters and buffers of one model; 0 for an opaque learner, of which none is kept.

    Example:
        >>> from unweave.learners import specify
        >>> model_bytes(specify("softmax", (4,), 2))  # 4·2 weights and 2 biases of 4 bytes
        40
    """
    if spec.opaque:
        return 0
    if spec.name not in _NUMBERS:  # its code alone knows; the user's own has been tried by now
        from unweave.learners.nets import build

        state = build(spec).init(0)
        own = sum(one.numel() * one.element_size() for part in state for one in part.values())
    else:
        own = 4 * _NUMBERS[spec.name](spec) + (8 if spec.tied else 0)  # the key of its masks
    return own + (0 if spec.encoding is None else 3 * 4 * math.prod(spec.shape))


def _dense(spec: LearnerSpec) -> int:
    depth = spec.config.get("depth", 0)
    sizes = [math.prod(spec.shape), *[spec.config.get("width", 0)] * depth, spec.classes]
    return sum((into + 1) * out for into, out in pairwise(sizes))


def _cnn(spec: LearnerSpec) -> int:
    colours, height, width = spec.image
    c = spec.config["channels"]
    wide = 2 * c * ((height + 1) // 4) * ((width + 1) // 4)
    return c * (25 * colours + 1) + 2 * c * (9 * c + 1) + spec.classes * (wide + 1)


def _resnet9(spec: LearnerSpec) -> int:
    c = spec.config["width"]
    widths = [spec.image[0], c, 2 * c, 2 * c, 2 * c, 4 * c, 8 * c, 8 * c, 8 * c]
    # Per convolution its weights, four numbers a channel of batch norm, and a count of eight bytes.
    return sum(9 * into * out + 4 * out + 2 for into, out in pairwise(widths)) + spec.classes * 8 * c


_NUMBERS = {"mlp": _dense, "softmax": _dense, "cnn": _cnn, "resnet9": _resnet9}
