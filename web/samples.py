"""Draws the page's sample faces, for those who have no picture at hand: SVG, ours, of nobody.

    python web/samples.py

Writes mien/serving/page/samples/*.svg. A test asks the shipped network what it sees in them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "mien" / "serving" / "page" / "samples"


@dataclass(frozen=True)
class Look:
    """A person and an expression; pixels of a drawing of 480 x 480 unless said otherwise.

    Attributes:
        brow_up, brow_inner: How far brows, and their inner ends, are raised.
        lid: How far the eyes are open, 1 at rest.
        mouth_wide: Half the mouth's width.
        corners: How far the corners are raised.
        opening: How far the mouth is open.
        teeth: Whether the upper teeth show.
        folds, frown, forehead, wrinkle: Creases, 0 none to 1 deep.
    """

    skin: str = "#e2b08c"
    shade: str = "#b97f5c"
    hair: str = "#3a2a20"
    cut: str = "short"
    cloth: str = "#4f6d7a"
    wall: str = "#d9dfe0"
    brow_up: float = 0
    brow_inner: float = 0
    lid: float = 1
    lower_lid: float = 0
    mouth_wide: float = 52
    corners: float = 0
    opening: float = 0
    teeth: bool = False
    folds: float = 0
    frown: float = 0
    forehead: float = 0
    wrinkle: float = 0


HAPPY = Look(
    mouth_wide=74, corners=30, opening=34, teeth=True, folds=1, lid=0.72, lower_lid=5, brow_up=4
)
SAD = Look(brow_inner=18, brow_up=-4, corners=-20, mouth_wide=44, lid=0.66, forehead=0.6)
SURPRISE = Look(brow_up=26, lid=1.5, mouth_wide=34, opening=78, forehead=1)
ANGRY = Look(
    brow_up=-16,
    brow_inner=-20,
    lid=0.8,
    corners=-14,
    mouth_wide=56,
    frown=1,
    folds=0.4,
    lower_lid=3,
)
FEAR = Look(
    brow_up=18,
    brow_inner=14,
    lid=1.5,
    mouth_wide=62,
    opening=26,
    teeth=True,
    corners=-14,
    forehead=1,
)
DISGUST = Look(
    brow_up=-12,
    brow_inner=-8,
    lid=0.5,
    lower_lid=7,
    corners=-20,
    mouth_wide=56,
    opening=6,
    wrinkle=1,
    folds=1,
    frown=0.5,
)
NEUTRAL = Look()

PEOPLE = (
    dict(skin=(
        "#e8bd9b"
    ), shade=(
        "#bf8a68"
    ), hair=(
        "#4a3023"
    ), cut=(
        "long"
    ), cloth=(
        "#7a4e57"
    ), wall=(
        "#dfe4e6"
    )),
    dict(skin=(
        "#8d5a3b"
    ), shade=(
        "#5f3a25"
    ), hair=(
        "#1d1714"
    ), cut=(
        "short"
    ), cloth=(
        "#d8a93e"
    ), wall=(
        "#cfd8d6"
    )),
    dict(skin=(
        "#f0cdb2"
    ), shade=(
        "#cc9a7c"
    ), hair=(
        "#a8632e"
    ), cut=(
        "short"
    ), cloth=(
        "#3f6b58"
    ), wall=(
        "#e4ded4"
    )),
    dict(skin=(
        "#c98f66"
    ), shade=(
        "#976341"
    ), hair=(
        "#241b16"
    ), cut=(
        "long"
    ), cloth=(
        "#39507a"
    ), wall=(
        "#dcd9e4"
    )),
    dict(skin=(
        "#5f3d2b"
    ), shade=(
        "#3d261a"
    ), hair=(
        "#15110f"
    ), cut=(
        "crop"
    ), cloth=(
        "#b8574a"
    ), wall=(
        "#d7dee2"
    )),
    dict(skin=(
        "#ecc5a6"
    ), shade=(
        "#c19172"
    ), hair=(
        "#8b8782"
    ), cut=(
        "crop"
    ), cloth=(
        "#56505f"
    ), wall=(
        "#e2e6e0"
    )),
)  # fmt: skip

SAMPLES = {
    "happy": (HAPPY, 0),
    "surprise": (SURPRISE, 1),
    "sad": (SAD, 2),
    "angry": (ANGRY, 5),
    "neutral": (NEUTRAL, 3),
    "fear": (FEAR, 4),
}
GROUP = ((HAPPY, 1), (NEUTRAL, 0), (SURPRISE, 5), (SAD, 3), (HAPPY, 2))


def face(look: Look, name: str) -> str:
    """Head and shoulders around (240, 240), without the wall behind them."""
    head = (
        "M240 78C332 78 368 150 364 236C361 318 300 396 240 396C180 396 119 318 116 236C112 150 "
        "148 78 240 78Z"
    )
    parts = [
        f'<radialGradient id="{name}s" cx="0.46" cy="0.42" r="0.62"><stop offset="0.45" stop-color="{look.skin}"/>'
        f'<stop offset="1" stop-color="{look.shade}"/></radialGradient>'
    ]
    if look.cut == "long":
        parts.append(
            f'<path fill="{look.hair}" d="M240 40C380 40 402 150 400 260L410 430H70L80 260C78 150 100 40 240 40Z"/>'
        )
    parts.append(f'<path fill="{look.shade}" d="M182 340H298V440C298 470 182 470 182 440Z"/>')
    parts.append(
        f'<path fill="{look.cloth}" d="M40 480C50 420 130 412 186 404C200 440 280 440 294 404C350 412 430 420 440 480Z"/>'
    )
    if look.cut != "long":
        parts += [
            f'<ellipse cx="{x}" cy="244" rx="17" ry="32" fill="{look.shade}"/>' for x in (112, 368)
        ]
    parts.append(f'<path fill="url(#{name}s)" d="{head}"/>')
    parts.append(hair(look))
    parts += [eye(look, name, side) for side in (-1, 1)] + [creases(look), nose(look), mouth(look)]
    return "".join(parts)


def hair(look: Look) -> str:
    shapes = {
        "long": (
            "M240 52C352 48 388 150 372 236C362 170 330 130 262 116C206 126 142 142 110 240C92 "
            "150 130 52 240 52Z"
        ),
        "short": (
            "M240 46C356 44 388 138 370 226C358 160 336 128 262 122C190 118 144 132 110 226C94 "
            "132 130 46 240 46Z"
        ),
        "crop": (
            "M240 60C344 60 380 138 366 196C350 136 320 114 240 112C160 114 130 136 114 196C100 "
            "138 136 60 240 60Z"
        ),
    }
    return f'<path fill="{look.hair}" d="{shapes[look.cut]}"/>'


def eye(look: Look, name: str, side: int) -> str:
    x, y = 240 + side * 62, 222
    upper, lower = 21 * look.lid, 13 - look.lower_lid
    left, right = x - 32, x + 32
    almond = (
        f"M{left} {y + 2}Q{x} {y - 2 * upper + 2:.0f} {right} {y + 2}Q{x} {y + 2 * lower:.0f} "
        f"{left} {y + 2}Z"
    )
    iris = 15 if look.lid > 1.2 else 16
    inner, outer = x - side * 38, x + side * 44
    brow_y = y - 46 - look.brow_up
    inner_y, outer_y = brow_y - look.brow_inner, brow_y + 8
    mid_y = min(inner_y, outer_y) - 12 + (8 if look.brow_inner < 0 else 0)
    return (
        f'<clipPath id="{name}{side}"><path d="{almond}"/></clipPath>'
        f'<path fill="#fbf8f4" d="{almond}"/><g clip-path="url(#{name}{side})">'
        f'<circle cx="{x}" cy="{y - 1}" r="{iris}" fill="#4b3524"/><circle cx="{x}" cy="{y - 1}" r="7.5" fill="#120d0a"/>'
        f'<circle cx="{x + 5}" cy="{y - 6}" r="3.4" fill="#fff"/></g>'
        f'<path d="M{left} {y + 2}Q{x} {y - 2 * upper + 2:.0f} {right} {y + 2}" fill="none" stroke="#2a1d16" stroke-width="5" stroke-linecap="round"/>'
        f'<path d="M{left + 4} {y + 4}Q{x} {y + 2 * lower + 4:.0f} {right - 4} {y + 4}" fill="none" stroke="{look.shade}" stroke-width="3"/>'
        f'<path d="M{inner} {inner_y}Q{x} {mid_y} {outer} {outer_y}" fill="none" stroke="{look.hair if look.hair != "#8b8782" else "#6d6964"}" stroke-width="13" stroke-linecap="round"/>'
    )


def nose(look: Look) -> str:
    return (
        f'<path d="M226 232C222 262 212 282 212 292C214 304 230 304 240 306C250 304 266 304 268 292" fill="none" '
        f'stroke="{look.shade}" stroke-width="6" stroke-linecap="round"/>'
        f'<ellipse cx="226" cy="298" rx="6.5" ry="4" fill="#3a241a" opacity=".75"/><ellipse cx="254" cy="298" rx="6.5" ry="4" fill="#3a241a" opacity=".75"/>'
    )


def mouth(look: Look) -> str:
    x, y, wide, up, gap = 240, 340, look.mouth_wide, look.corners, look.opening
    left, right, end = x - wide, x + wide, y - up
    lip = "#8f4038" if look.skin < "#9" else "#b45a50"
    if gap < 10:
        bend = y + up * 0.9
        return (
            f'<path d="M{left} {end}Q{x} {bend} {right} {end}" fill="none" stroke="#5a2620" stroke-width="6" stroke-linecap="round"/>'
            f'<path d="M{left + 14} {end + 5}Q{x} {bend + 22} {right - 14} {end + 5}" fill="none" stroke="{lip}" stroke-width="8" stroke-linecap="round" opacity=".8"/>'
        )
    top, bottom = y - gap * 0.32 + up * 0.35, y + gap * 1.15 + up * 0.55
    hole = (
        f"M{left} {end}Q{x} {top:.0f} {right} {end}Q{x + wide * 0.55:.0f} {bottom:.0f} {x} "
        f"{bottom:.0f}Q{x - wide * 0.55:.0f} {bottom:.0f} {left} {end}Z"
    )
    if gap > 50:
        hole = (
            f"M{left} {y + 12}C{left} {y - gap * 0.42:.0f} {right} {y - gap * 0.42:.0f} {right} "
            f"{y + 12}C{right} {y + gap * 0.72:.0f} {left} {y + gap * 0.72:.0f} {left} {y + 12}Z"
        )
    teeth = ""
    if look.teeth:
        rim = min(16.0, gap * 0.6)
        teeth = f'<path fill="#fdfbf7" d="M{left + 8} {end + 2}Q{x} {top + 3:.0f} {right - 8} {end + 2}Q{x} {top + 2 * rim:.0f} {left + 8} {end + 2}Z"/>'
    return f'<path fill="#4a1512" stroke="{lip}" stroke-width="9" stroke-linejoin="round" d="{hole}"/>{teeth}'


def creases(look: Look) -> str:
    lines = []
    if look.folds:
        lines += [
            f"M{240 + s * 40} 296Q{240 + s * 84} 312 {240 + s * 84} {330 + 8 * look.folds:.0f}"
            for s in (-1, 1)
        ]
    if look.frown:
        lines += [f"M{240 + s * 9} 178L{240 + s * 7} 204" for s in (-1, 1)]
    if look.forehead:
        lines += [f"M186 {y}Q240 {y - 9} 294 {y}" for y in (152, 163)]
    if look.wrinkle:
        lines += [
            f"M{240 + s * 12} {y}L{240 + s * 30} {y - 9}" for s in (-1, 1) for y in (240, 254)
        ]
    return "".join(
        f'<path d="{line}" fill="none" stroke="{look.shade}" stroke-width="5" stroke-linecap="round"/>'
        for line in lines
    )


def portrait(look: Look, name: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="480" height="480" viewBox="0 0 480 480">'
        f'<rect width="480" height="480" fill="{look.wall}"/>{face(look, name)}</svg>\n'
    )


def group() -> str:
    places = (
        (10, 180, 0.82),
        (290, 135, 0.92),
        (560, 190, 0.8),
        (800, 145, 0.9),
        (1070, 185, 0.82),
    )
    parts = []
    for n, ((look, person), (x, y, scale)) in enumerate(zip(GROUP, places, strict=True)):
        parts.append(
            f'<g transform="translate({x} {y}) scale({scale})">{face(replace(look, **PEOPLE[person]), f"g{n}")}</g>'
        )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="1440" height="470" viewBox="0 90 1440 470">'
        f'<rect y="90" width="1440" height="470" fill="#dfe3e0"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (look, person) in SAMPLES.items():
        (FOLDER / f"{name}.svg").write_text(portrait(replace(look, **PEOPLE[person]), name[0]))
    (FOLDER / "group.svg").write_text(group())


if __name__ == "__main__":
    main()
