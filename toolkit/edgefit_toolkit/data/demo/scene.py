"""A photograph that never was: one kind of plant somewhere, in some light, through some lens."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from edgefit_toolkit.data.demo import backgrounds, flowers, leaves
from edgefit_toolkit.data.demo.canvas import Rng, noise, vary

PLANTS: dict[str, Callable[[Rng], Image.Image]] = {
    "clover": leaves.clover,
    "daisy": flowers.daisy,
    "fern": leaves.fern,
    "ginkgo": leaves.ginkgo,
    "maple": leaves.maple,
    "monstera": leaves.monstera,
    "oak": leaves.oak,
    "rose": flowers.rose,
    "sunflower": flowers.sunflower,
    "tulip": flowers.tulip,
}
KINDS = tuple(PLANTS)
_UPRIGHT = {"tulip"}  # grows from the ground: leans, but does not lie on its head
_PATCH = {"clover": 0.6, "daisy": 0.45, "tulip": 0.45, "fern": 0.3, "rose": 0.3}  # chance of company of its kind
SIZES_PX = ((320, 320), (360, 288), (288, 360))


def draw_photo(kind: str, rng: Rng) -> bytes:
    """A JPEG of one plant of this kind, one of SIZES_PX. The same generator state draws the same bytes."""
    width, height = SIZES_PX[int(rng.integers(len(SIZES_PX)))]
    ground = backgrounds.BACKGROUNDS[int(rng.integers(len(backgrounds.BACKGROUNDS)))]
    outdoors = ground in backgrounds.OUTDOORS
    scene = Image.fromarray(np.clip(ground(rng, width, height), 0, 255).astype(np.uint8))
    if rng.random() < 0.35:
        scene = scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4)))

    if rng.random() < 0.22:  # something else grows there too, out of focus and half out of the picture
        other = KINDS[int(rng.integers(len(KINDS)))]
        edge = (float(rng.choice([0.0, width])), rng.uniform(0, height))
        _put(rng, scene, PLANTS[other](rng), edge, rng.uniform(0.3, 0.5) * min(width, height), 3.0, other)
    plant = PLANTS[kind](rng)
    if rng.random() < _PATCH.get(kind, 0.2):
        for _ in range(int(rng.integers(1, 5))):
            at = (rng.uniform(0, width), rng.uniform(0, height))
            _put(rng, scene, plant, at, rng.uniform(0.22, 0.5) * min(width, height), rng.uniform(0.3, 2.6), kind)
    size = min(width, height) * float(np.clip(rng.normal(0.80, 0.18), 0.42, 1.15))
    at = (width * rng.normal(0.5, 0.08), height * rng.normal(0.5, 0.07))
    _put(rng, scene, plant, at, size, 0.0, kind)
    if rng.random() < 0.4:
        _in_front(rng, scene, grass=outdoors and rng.random() < 0.6)
    return _through_the_lens(rng, scene, dappled=outdoors and rng.random() < 0.4)


def _put(
    rng: Rng, scene: Image.Image, plant: Image.Image, at: tuple[float, float], size: float, blur_px: float, kind: str
) -> None:
    """Sets a plant into the scene: turned, foreshortened, with the shadow it throws on the ground."""
    angle = rng.normal(0, 0.22) if kind in _UPRIGHT else rng.uniform(0, 2 * math.pi)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    squeeze = rng.uniform(0.62, 1.0)  # seen at a slant
    slant = rng.uniform(0, math.pi) if kind not in _UPRIGHT else 0.0
    turned = _matrix(angle) @ np.diag([flip, 1.0])
    forward = _matrix(-slant) @ np.diag([squeeze, 1.0]) @ _matrix(slant) @ turned * (size / plant.width)
    inverse = np.linalg.inv(forward)
    keystone = rng.normal(0, 0.10, 2) / size  # near side larger than the far side
    centre = plant.width / 2
    a, b, c, d = (float(v) for v in inverse.ravel())
    gx, gy = (float(v) for v in keystone)
    reach = 0.85 * size + 3 * blur_px
    box = (
        max(0, int(at[0] - reach)), max(0, int(at[1] - reach)),
        min(scene.width, int(at[0] + reach)), min(scene.height, int(at[1] + reach)),
    )  # fmt: skip
    x0, y0 = at[0] - box[0], at[1] - box[1]
    # Perspective about the plant's own place: the divisor is 1 + gx (x - x0) + gy (y - y0).
    at_origin = 1 - gx * x0 - gy * y0
    coefficients = [
        a + centre * gx, b + centre * gy, centre * at_origin - a * x0 - b * y0,
        c + centre * gx, d + centre * gy, centre * at_origin - c * x0 - d * y0,
        gx, gy,
    ]  # fmt: skip
    coefficients = [value / at_origin for value in coefficients]
    shrink = int(max(1, plant.width / size))
    if shrink > 1:
        plant = plant.reduce(shrink)
        coefficients[:6] = [value / shrink for value in coefficients[:6]]
    layer = plant.transform(
        (box[2] - box[0], box[3] - box[1]), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )
    if blur_px:
        layer = layer.filter(ImageFilter.GaussianBlur(blur_px))
    ground = scene.crop(box)
    _shadow(rng, ground, layer, size)
    ground.paste(layer, (0, 0), layer)
    scene.paste(ground, box)


def _matrix(angle: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _shadow(rng: Rng, scene: Image.Image, layer: Image.Image, size: float) -> None:
    strength, height = rng.uniform(0.0, 0.75), rng.uniform(0.01, 0.06) * size
    angle = rng.uniform(0, 2 * math.pi)
    alpha = layer.getchannel("A")
    moved = Image.new("L", scene.size)
    moved.paste(alpha, (round(math.cos(angle) * height), round(math.sin(angle) * height)))
    soft = moved.filter(ImageFilter.BoxBlur(1.5 + height * 0.7)).point([int(i * strength) for i in range(256)])
    scene.paste((8, 10, 14), (0, 0, *scene.size), soft)


def _in_front(rng: Rng, scene: Image.Image, grass: bool) -> None:
    """Blades of grass or a soft leaf close to the lens."""
    width, height = scene.size
    sheet = Image.new("RGBA", scene.size)
    draw = ImageDraw.Draw(sheet)
    if grass:
        backgrounds.blades(rng, draw, width, height * 2, int(rng.integers(8, 40)), height * 0.7, 0.9)
        soft = rng.uniform(0.4, 2.5)
    else:
        green = vary(rng, (90, 120, 60), 30)
        x, y = float(rng.choice([-0.05, 1.05])) * width, rng.uniform(0, 1) * height
        rx, ry = rng.uniform(0.15, 0.38) * width, rng.uniform(0.15, 0.38) * height
        draw.ellipse([x - rx, y - ry, x + rx, y + ry], fill=(int(green[0]), int(green[1]), int(green[2]), 225))
        soft = rng.uniform(6, 14)
    sheet = sheet.filter(ImageFilter.GaussianBlur(soft))
    scene.paste(sheet, (0, 0), sheet)


def _through_the_lens(rng: Rng, scene: Image.Image, dappled: bool) -> bytes:
    """Light of the hour, defocus, the sensor's noise, and the camera's JPEG."""
    width, height = scene.size
    if rng.random() < 0.5:
        scene = scene.filter(ImageFilter.GaussianBlur(abs(rng.normal(0, 1.0))))
    picture = np.asarray(scene, dtype=np.float32) / np.float32(255)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    sun = rng.uniform(0, 2 * math.pi)
    light = (
        1 + rng.uniform(0, 0.35) * (x * math.cos(sun) + y * math.sin(sun)) - rng.uniform(0, 0.25) * (x**2 + y**2) / 2
    )
    if dappled:
        light = light * backgrounds.dapple(rng, width, height)
    warmth = rng.normal(0, 0.09)
    tint = np.array([1 + warmth, 1 + rng.normal(0, 0.02), 1 - warmth], np.float32)
    exposure = math.exp(rng.normal(-0.02, 0.2))
    haze = max(0.0, rng.normal(0, 0.07))
    contrast = rng.uniform(0.85, 1.15)
    # Exposure and tint, then haze towards a pale grey, then contrast about a middle grey: one product and one sum.
    picture *= (light * (exposure * (1 - haze) * contrast))[..., None] * tint
    picture += (haze * 0.8 - 0.45) * contrast + 0.45
    grain = abs(rng.normal(0, 0.03))
    if grain > 0.004:
        picture += rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(grain)
    if rng.random() < 0.1:  # a soft reflection in the lens
        picture += (np.clip(noise(rng, width, height, 2) - 0.5, 0, 1) * 0.6)[..., None]
    shot = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    jpeg = io.BytesIO()
    shot.save(jpeg, "JPEG", quality=int(rng.integers(55, 93)))
    return jpeg.getvalue()
