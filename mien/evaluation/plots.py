"""Plots of an evaluation. Each function takes numbers and returns a matplotlib Figure.

Figures use the object API on the Agg canvas, so they need no display and do not touch pyplot's
state; `lent_to_pyplot` is the exception, since mlxtend draws on pyplot's current figure. They are
about 4.5 inches wide with 9-point text, which is readable on a phone.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.vision.fonts import files_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, BLUE, ORANGE = "#222222", "#bbbbbb", "#0072b2", "#d55e00"
_LOOK: Any = {
    "text.parse_math": False,  # a label named `a$b$` is no formula
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
_SPLIT_STYLE = {
    "training": ("s", ":", "#666666"),
    "validation": ("o", "-", BLUE),
    "test": ("D", "--", ORANGE),
}


@contextmanager
def look() -> Iterator[None]:
    """Use mien's matplotlib settings within the block; the caller's settings are restored."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_LOOK)
        yield


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as the bytes of a PNG, on white."""
    buffer = io.BytesIO()
    with look(), warnings.catch_warnings():
        _letters_of_any_script(figure)
        # Letters without a font become boxes; the name is in the table beside the plot.
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        figure.savefig(
            buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": "mien"}
        )
    return buffer.getvalue()


def _letters_of_any_script(figure: Figure) -> None:
    """Let the figure use installed fonts for letters that matplotlib's own font lacks."""
    from matplotlib import font_manager
    from matplotlib.text import Text

    texts = [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and any(map(_is_foreign, text.get_text()))
    ]
    letters = "".join(text.get_text() for text in texts)
    if not texts:
        return
    families = ["DejaVu Sans"]  # matplotlib's own
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for file in files_for(letters):
        if str(file) not in known:
            font_manager.fontManager.addfont(str(file))
        families.append(font_manager.FontProperties(fname=str(file)).get_name())
    for text in texts:
        text.set_fontfamily(families)
        text.set_fontweight("normal")  # matplotlib logs each family that has no bold letters


def _is_foreign(letter: str) -> bool:
    """Whether matplotlib's own font may lack a letter; it has Latin, Greek and Cyrillic ones, and
    signs such as dots and arrows.
    """
    return letter >= "\u0530" and not "\u2000" <= letter <= "\u22ff"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; width and height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, title: str = "") -> None:
    """Give axes a light grid without a frame, and a title on the left."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, loc="left")


@contextmanager
def lent_to_pyplot(figure: Figure) -> Iterator[None]:
    """Make `figure` pyplot's current figure within the block.

    mlxtend labels axes through `plt.xlabel`, on the current figure. Without this it would open a
    new figure, or write on one of the user's. No backend is loaded and no window opens.
    """
    from matplotlib._pylab_helpers import Gcf
    from matplotlib.backend_bases import FigureManagerBase

    manager: Any = FigureManagerBase(figure.canvas, num=max(Gcf.figs, default=0) + 1)
    Gcf.set_active(manager)
    try:
        yield
    finally:
        del Gcf.figs[manager.num]


def confusion_figure(matrix: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Plot a confusion matrix, int (K, K): counts, with the share of the label's rows in brackets
    and as the shade.
    """
    from mlxtend.plotting import plot_confusion_matrix

    num_classes = len(names)
    longest = max(len(name) for name in names)
    side = 0.48 * num_classes + 0.07 * longest + 0.7
    with look():
        figure = new_figure(side, side + 0.2)
        axes = figure.add_subplot()
        # A class without pictures has no shares: mlxtend divides 0 by 0 and prints nan.
        with lent_to_pyplot(figure), np.errstate(invalid="ignore"):
            plot_confusion_matrix(
                np.asarray(matrix),
                show_normed=True,
                class_names=list(names),
                figure=figure,
                axis=axes,
                hide_spines=True,
            )
        for text in axes.texts:
            text.set_fontsize(8)
            text.set_text(text.get_text().replace("(nan)", "(n/a)"))
        for image in axes.images:
            image.set_clim(0.0, 1.0)
        axes.tick_params(length=0)
        axes.set_title(title, loc="left")
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
    return figure


def curves_figure(
    history: Sequence[Mapping[str, Any]], best_epoch: int | None, name: str
) -> Figure:
    """Plot accuracy and loss by epoch: training (dashed), validation (solid), and the kept epoch.

    Args:
        history: A dict for each epoch, as in `Predictions.info`.
        best_epoch: The kept epoch, from 1; None leaves it out.
        name: The name of the network, for the title.
    """
    from matplotlib.ticker import MaxNLocator

    with look():
        figure = new_figure(4.5, 5.0)
        epochs = [int(h.get("epoch", i + 1)) for i, h in enumerate(history)]
        for place, (key, label) in enumerate((("accuracy", "accuracy, %"), ("loss", "loss, nats"))):
            axes = figure.add_subplot(2, 1, place + 1)
            scale = 100.0 if key == "accuracy" else 1.0
            for prefix, text, (_, line, colour) in (
                ("", "training, measured while training", ("", "--", "#666666")),
                ("val_", "validation", ("", "-", BLUE)),
            ):
                values = [h.get(prefix + key) for h in history]
                if any(v is not None for v in values):
                    drawn = [np.nan if v is None else scale * v for v in values]
                    axes.plot(
                        epochs,
                        drawn,
                        line,
                        color=colour,
                        label=text,
                        marker="." if len(epochs) < 40 else "",
                    )
            if best_epoch is not None:
                axes.axvline(best_epoch, color=ORANGE, linewidth=1.2)
                axes.annotate(
                    f"kept: epoch {best_epoch}",
                    (best_epoch, 0.5),
                    xycoords=("data", "axes fraction"),
                    xytext=(4, 0) if best_epoch <= sum(epochs[:1] + epochs[-1:]) / 2 else (-4, 0),
                    ha="left" if best_epoch <= sum(epochs[:1] + epochs[-1:]) / 2 else "right",
                    textcoords="offset points",
                    color=ORANGE,
                )
            plain_axes(axes, f"{name}: learning" if place == 0 else "")
            axes.set_ylabel(label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.axes[-1].set_xlabel("epoch")
        # One legend for both, outside of the axes, where it covers no curve.
        handles, labels = figure.axes[-1].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure


def reliability_figure(bins: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> Figure:
    """Plot accuracy against confidence, and the distribution of the confidence.

    Args:
        bins: Split -> bins of `metrics.reliability`.
        name: The name of the network, for the title.
    """
    with look():
        figure = new_figure(4.5, 5.0)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 100], [0, 100], color=FAINT, linewidth=1.5)
        upper.text(98, 4, "grey line: as sure as right", ha="right", color="#666666")
        for split, split_bins in bins.items():
            marker, line, colour = _SPLIT_STYLE[split]
            filled = [b for b in split_bins if b["n"]]
            upper.plot(
                [100 * b["confidence"] for b in filled],
                [100 * b["accuracy"] for b in filled],
                line,
                marker=marker,
                markersize=4,
                color=colour,
                label=split,
            )
            total = sum(b["n"] for b in split_bins)
            edges = [100 * b["low"] for b in split_bins] + [100.0]
            shares = [100 * b["n"] / total for b in split_bins]
            lower.stairs(shares, edges, color=colour, linestyle=line)
        upper.set_ylim(0, 102)
        upper.set_xlim(0, 100)
        upper.set_ylabel("right, %")
        upper.legend(loc="upper left")
        lower.set_ylabel("of pictures, %")
        lower.set_xlabel("confidence (highest probability), %")
        plain_axes(upper, f"{name}: reliability")
        plain_axes(lower)
    return figure


def accuracy_figure(networks: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot the accuracy of each network on each split, with whiskers for the 95 % interval.

    Args:
        networks: The `networks` of `Evaluation.truth`.
    """
    with look():
        figure = new_figure(4.5, 1.3 + 0.55 * len(networks))
        axes = figure.add_subplot()
        for i, (split, (marker, _, colour)) in enumerate(_SPLIT_STYLE.items()):
            named = False
            for row, network in enumerate(networks):
                scores = network["splits"][split]
                if not scores:
                    continue
                accuracy = scores["accuracy"]
                y = row + 0.22 * (i - 1)
                if accuracy["low"] is not None:
                    axes.plot(
                        [100 * accuracy["low"], 100 * accuracy["high"]],
                        [y, y],
                        color=colour,
                        linewidth=2,
                    )
                axes.plot(
                    100 * accuracy["value"],
                    y,
                    marker,
                    color=colour,
                    markersize=6,
                    label="" if named else split,
                )
                named = True
        axes.set_yticks(range(len(networks)), [n["name"] for n in networks])
        axes.set_ylim(len(networks) - 0.5, -0.5)
        axes.set_xlabel("accuracy, %")
        plain_axes(axes)
        figure.legend(loc="outside upper left", ncols=3)
    return figure


def clip(text: str, length: int) -> str:
    """The text cut to at most `length` characters, with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "\u2026"
