"""From an upright photograph to the network's input, exactly as `records.Preprocessing` documents it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgefit_toolkit.data.decoding import Pixels, upright_rgb
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD, Preprocessing, Variant

if TYPE_CHECKING:
    import torch

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def preprocessing_for(variant: Variant) -> Preprocessing:
    """The preprocessing that a variant is trained and evaluated with (both families: see records)."""
    return Preprocessing(resolution_px=variant.resolution_px)


def crop_box(width: int, height: int, preprocessing: Preprocessing) -> tuple[int, int, int]:
    """The centre crop as (left, top, side) in pixels of the upright photograph.

    Integer steps as in EfficientNet's own `_decode_and_center_crop`: the side rounds down, an odd rest goes left and
    up.
    """
    resolution_px = preprocessing.resolution_px
    side = max(1, min(width, height) * resolution_px // (resolution_px + preprocessing.crop_padding_px))
    return (width - side + 1) // 2, (height - side + 1) // 2, side


def apply(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Pixels uint8 [R, R, 3] of one photograph: the raw bytes that enter the .tflite."""
    rgb = upright_rgb(image)
    left, top, side = crop_box(rgb.width, rgb.height, preprocessing)
    # Crop first: resize(box=...) would let colours from outside the crop bleed in at its edges.
    crop = rgb.crop((left, top, left + side, top + side))
    resolution_px = preprocessing.resolution_px
    small = crop.resize((resolution_px, resolution_px), _FILTERS[preprocessing.interpolation])
    return np.array(small, dtype=np.uint8)


def to_network_input(pixels: Pixels, preprocessing: Preprocessing | None = None, device: str = "cpu") -> torch.Tensor:
    """uint8 [N, R, R, 3] to the float network's input: float32 [N, 3, R, R], (raw - 127) / 128. Imports torch."""
    import torch

    mean, std = (preprocessing.mean, preprocessing.std) if preprocessing else (PIXEL_MEAN, PIXEL_STD)
    nchw = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)
    return nchw.to(torch.float32).sub_(mean).div_(std).contiguous()
