"""The one renderer: a `Scene` to a picture with the exact mask and box of every thing in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mlcd.core.images import Image as Picture
from mlcd.playroom.grounds import Canvas, paint_ground
from mlcd.playroom.scenes import Light, PlacedThing, Scene
from mlcd.playroom.things import Style, Thing, sprite
from mlcd.playroom.tints import middle_luminance, tinted


@dataclass(frozen=True, kw_only=True, slots=True)
class VisibleThing:
    """A thing as it was drawn."""

    placed: PlacedThing
    mask: NDArray[np.bool_]
    """(H, W): the pixels where it is seen."""
    whole: NDArray[np.bool_]
    """(H, W): the pixels where it would be seen if nothing hid it."""

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """xyxy in pixels around its visible part; None when nothing of it is seen."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        if len(rows) == 0:
            return None
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedScene:
    """A picture, uint8 (H, W, 3), and its things in the order of the scene."""

    image: Picture
    things: tuple[VisibleThing, ...]


def render(scene: Scene, width: int, height: int) -> RenderedScene:
    """Draw `scene` at `width` x `height` pixels; the same scene gives the same pixels."""
    if width < 1 or height < 1:
        raise ValueError(f"a picture needs at least 1x1 pixels, got {width}x{height}")
    canvas = paint_ground(scene.ground, width, height)
    masks = [np.zeros((height, width), np.bool_) for _ in scene.things]
    wholes = [np.zeros((height, width), np.bool_) for _ in scene.things]
    for index in sorted(range(len(scene.things)), key=lambda i: scene.things[i].layer):
        _draw(scene.things[index], canvas, wholes[index])
        for mask in masks:
            mask &= ~wholes[index]
        masks[index] |= wholes[index]
    canvas = _light(canvas, scene.light, scene.seed)
    image = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    if scene.blur > 0:
        blur = ImageFilter.GaussianBlur(scene.blur * min(width, height))
        image = np.asarray(Image.fromarray(image).filter(blur))
    drawn = zip(scene.things, masks, wholes, strict=True)
    return RenderedScene(
        image=image,
        things=tuple(
            VisibleThing(placed=placed, mask=mask, whole=whole) for placed, mask, whole in drawn
        ),
    )


def _draw(placed: PlacedThing, canvas: Canvas, whole: NDArray[np.bool_]) -> None:
    """Blend one thing into the canvas and mark where it is drawn, `whole` (H, W)."""
    height, width = canvas.shape[:2]
    side = placed.size * min(width, height)
    center_x, center_y = placed.center[0] * width, placed.center[1] * height
    angle = math.radians(placed.rotation_deg)
    longest = side * max(placed.stretch, 1 / placed.stretch) ** 0.5
    reach = longest * (abs(math.cos(angle)) + abs(math.sin(angle))) / 2 + 1
    left, right = max(0, math.floor(center_x - reach)), min(width, math.ceil(center_x + reach))
    top, bottom = max(0, math.floor(center_y - reach)), min(height, math.ceil(center_y + reach))
    if left >= right or top >= bottom:
        return
    art = _reduced_sprite(placed.thing, placed.style, _halvings(placed, side))
    matrix = _inverse_affine(placed, art.width / side, center_x - left, center_y - top, art.width)
    patch = np.asarray(
        art.transform(
            (right - left, bottom - top),
            Image.Transform.AFFINE,
            matrix,
            resample=Image.Resampling.BICUBIC,
        ),
        np.float32,
    )  # (h, w, 4)
    colour, alpha = patch[..., :3], patch[..., 3:] / 255
    if placed.hue_shift:
        colour = colour @ _hue_rotation(placed.hue_shift)
    if placed.tint is not None:
        colour = tinted(colour, placed.tint, middle_luminance(placed.thing, placed.style))
    region = canvas[top:bottom, left:right]
    region += alpha * (colour - region)
    whole[top:bottom, left:right] = alpha[..., 0] > 0.5


def _halvings(placed: PlacedThing, side: float) -> int:
    """How often to halve the art so that sampling it at `side` pixels does not alias."""
    return max(0, math.floor(math.log2(sprite(placed.thing, placed.style).width / side) + 0.25))


@lru_cache(maxsize=8192)
def _reduced_sprite(thing: Thing, style: Style, halvings: int) -> Image.Image:
    art = sprite(thing, style)
    # A clear border, because the resampling would otherwise smear the art's edge pixels outwards.
    framed = Image.new("RGBA", (art.width + 2 * _FRAME, art.height + 2 * _FRAME))
    framed.paste(art, (_FRAME, _FRAME))
    if not halvings:
        return framed
    side = max(1, framed.width >> halvings)
    return framed.resize((side, side), Image.Resampling.BOX)


_FRAME = 4


def _inverse_affine(
    placed: PlacedThing, scale: float, center_x: float, center_y: float, art_side: int
) -> tuple[float, float, float, float, float, float]:
    """PIL's six numbers: from pixels of the patch to pixels of the art."""
    full = sprite(placed.thing, placed.style).width
    scale /= 1 + 2 * _FRAME / full  # the frame does not count for the size of the thing
    angle = math.radians(placed.rotation_deg)
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    wider = math.sqrt(placed.stretch)
    a, b, d, e = cos / wider, -sin / wider, sin * wider, cos * wider
    if placed.is_mirrored:
        a, b = -a, -b
    if placed.is_flipped:
        d, e = -d, -e
    middle = art_side / 2
    c = middle - a * center_x - b * center_y
    f = middle - d * center_x - e * center_y
    return a, b, c, d, e, f


@lru_cache(maxsize=256)
def _hue_rotation(turns: float) -> NDArray[np.float32]:
    """Rotation of RGB about the grey axis, for row vectors: (3, 3)."""
    cos, sin = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    third, root = (1 - cos) / 3, sin / math.sqrt(3)
    rows = [
        [cos + third, third - root, third + root],
        [third + root, cos + third, third - root],
        [third - root, third + root, cos + third],
    ]
    return np.asarray(rows, np.float32).T


def _light(canvas: Canvas, light: Light, seed: int) -> Canvas:
    """Light the canvas: slope, brightness and warmth multiply, contrast turns about mid-grey."""
    if light == Light():
        return canvas
    height, width = canvas.shape[:2]
    gain = np.asarray([1 + light.warmth, 1.0, 1 - light.warmth], np.float32) * light.brightness
    if light.slope:
        angle = math.radians(light.slope_deg)
        x = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :, None]
        y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None, None]
        gain = gain * (1 + light.slope * (x * math.cos(angle) + y * math.sin(angle)))
    lit = (canvas * gain - 127.5) * light.contrast + 127.5
    if light.noise:
        random = np.random.default_rng(seed)
        lit = lit + light.noise * random.standard_normal(lit.shape, dtype=np.float32)
    return np.asarray(lit, np.float32)
