"""Pictures of faces in the report: contact sheets with probabilities, and occlusion maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.evaluation.plots import INK, ORANGE, clip, look, new_figure
from mien.vision.explain import STRIDE, overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 8  # classes; with more, a tile shows only the likeliest ones and the label


def shown_classes(probabilities: Sequence[float], label: int) -> list[int]:
    """The classes that a tile shows, in label order: all of up to `MANY`, otherwise the six
    likeliest and the label.
    """
    if len(probabilities) <= MANY:
        return list(range(len(probabilities)))
    likeliest = np.argsort(-np.asarray(probabilities), kind="stable")[:6]
    return sorted({int(k) for k in likeliest} | {label})


def sheet_figure(
    faces: np.ndarray,
    examples: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    colours: Sequence[str],
    title: str,
) -> Figure:
    """A contact sheet: faces with label, prediction, and probabilities as bars.

    The bar of the label has an outline, and its name is bold. The prediction is the longest bar.

    Args:
        faces: uint8 (n, S, S, 1).
        examples: For each face a dict with `label`, `predicted` and `probabilities`.
        names: The labels.
        colours: Their colours, `#rrggbb`.
        title: The title of the sheet.
    """
    columns = min(4, len(examples))
    rows = -(-len(examples) // columns)
    with look():
        figure = new_figure(2.1 * columns, 1.35 * rows + 0.35)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0, 2.1 * columns)
        axes.set_ylim(1.35 * rows + 0.35, 0)  # inches, downwards
        axes.axis("off")
        axes.text(0.06, 0.2, title, va="center", fontsize=10)
        for i, (face, example) in enumerate(zip(faces, examples, strict=True)):
            left, top = 2.1 * (i % columns) + 0.06, 1.35 * (i // columns) + 0.35
            _tile(axes, left, top, face, example, names, colours)
    return figure


def _tile(
    axes: Axes,
    left: float,
    top: float,
    face: np.ndarray,
    example: Mapping[str, Any],
    names: Sequence[str],
    colours: Sequence[str],
) -> None:
    """Draw one face of a contact sheet; positions in inches."""
    from matplotlib.patches import Rectangle

    right = example["label"] == example["predicted"]
    outcome = ": right" if right else f", taken for {example['predicted']}"
    caption, colour = clip(example["label"] + outcome, 34), INK if right else ORANGE
    axes.text(left, top + 0.08, caption, va="center", fontsize=7, color=colour)
    axes.imshow(
        face[..., 0],
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(left, left + 1.0, top + 1.2, top + 0.2),
        aspect="auto",
    )
    true = list(names).index(example["label"])
    classes = shown_classes(example["probabilities"], true)
    step = 1.0 / len(classes)
    for place, k in enumerate(classes):
        y = top + 0.2 + (place + 0.5) * step
        bold = "bold" if k == true else "normal"
        axes.text(left + 1.04, y, clip(names[k], 8), va="center", fontsize=6, fontweight=bold)
        axes.add_patch(
            Rectangle(
                (left + 1.47, y - 0.3 * step),
                0.45 * example["probabilities"][k],
                0.6 * step,
                facecolor=colours[k],
                edgecolor=INK if k == true else "none",
                linewidth=0.8,
            )
        )


def maps_figure(
    classes: Sequence[tuple[str, Sequence[tuple[str, np.ndarray]]]], title: str
) -> Figure:
    """Occlusion maps in a row for each class.

    Args:
        classes: For each class its name and its pictures: caption, uint8 (H, W, 1) or (H, W, 3).
        title: The title of the figure.
    """
    columns = max(len(pictures) for _, pictures in classes)
    width, height = 1.06 * columns + 0.06, 1.42 * len(classes) + 0.35
    with look():
        figure = new_figure(width, height)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)  # inches, downwards
        axes.axis("off")
        axes.text(0.06, 0.2, clip(title, 16 * columns), va="center", fontsize=10)
        for row, (label, pictures) in enumerate(classes):
            top = 1.42 * row + 0.35
            name = clip(label, 20 * columns)
            axes.text(0.06, top + 0.08, name, va="center", fontsize=8, fontweight="bold")
            for column, (caption, picture) in enumerate(pictures):
                left = 1.06 * column + 0.06
                extent = (left, left + 1.0, top + 1.2, top + 0.2)
                shown = picture[..., 0] if picture.shape[2] == 1 else picture
                axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
                axes.text(left, top + 1.28, clip(caption, 22), va="center", fontsize=6)
    return figure


def map_over(faces: np.ndarray, grid: list[list[float]], side: int) -> np.ndarray:
    """A map of report.json over the mean of faces, as RGB uint8 (side, side, 3).

    Args:
        faces: uint8 (n, S, S, 1).
        grid: The map, a value for each step of STRIDE pixels.
        side: Side of the picture in pixels.
    """
    mean = faces.mean(axis=0).round().astype(np.uint8)
    heat = np.kron(np.array(grid, np.float32), np.ones((STRIDE, STRIDE), np.float32))
    return overlay(mean, heat, side=side)
