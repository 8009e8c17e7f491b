"""What the pictures hold, read from the figures themselves."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from mien.evaluation import plots, sheets


def texts(axes: object) -> list[str]:
    return [t.get_text() for t in axes.texts]  # type: ignore[attr-defined]


def test_the_confusion_matrix_shows_counts_and_shares() -> None:
    figure = plots.confusion_figure(np.array([[8, 2], [1, 3]]), ["angry", "$a_b$"], "net, test")
    (axes,) = figure.axes
    assert texts(axes) == ["8\n(0.80)", "2\n(0.20)", "1\n(0.25)", "3\n(0.75)"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["angry", "$a_b$"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "label")
    assert axes.images[0].get_clim() == (0.0, 1.0)
    assert len(plots.png(figure)) > 1000  # `$a_b$` is drawn as text, not read as a formula


def test_a_class_without_pictures_has_no_share() -> None:
    figure = plots.confusion_figure(np.array([[4, 0], [0, 0]]), ["angry", "happy"], "net")
    assert texts(figure.axes[0]) == ["4\n(1.00)", "0\n(0.00)", "0\n(n/a)", "0\n(n/a)"]


@pytest.mark.parametrize("num_classes", [2, 20])
def test_any_number_of_classes_is_drawn(num_classes: int) -> None:
    names = [f"class number {k}" for k in range(num_classes)]
    figure = plots.confusion_figure(np.eye(num_classes, dtype=int), names, "net")
    assert len(texts(figure.axes[0])) == num_classes**2
    width, height = Image.open(io.BytesIO(plots.png(figure, dpi=100))).size
    assert 150 < width < 1400 and 150 < height < 1400


def test_pyplot_and_the_users_settings_are_left_alone() -> None:
    import matplotlib
    import matplotlib.pyplot as plt

    own = plt.figure()
    axes = own.add_subplot()
    axes.set_xlabel("mine")
    size = matplotlib.rcParams["font.size"]
    try:
        plots.png(plots.confusion_figure(np.eye(2, dtype=int), ["a", "b"], "net"))
        assert plt.get_fignums() == [own.number]
        assert (
            plt.gcf() is own
            and axes.get_xlabel() == "mine"
            and axes.get_xticklabels()[0].get_text() != "a"
        )
        assert matplotlib.rcParams["font.size"] == size
    finally:
        plt.close(own)


def test_learning_curves_hold_the_history_and_mark_the_kept_epoch() -> None:
    history = [
        {
            "epoch": e,
            "loss": 2.0 / e,
            "accuracy": 0.1 * e,
            "val_loss": 3.0 / e,
            "val_accuracy": None,
        }
        for e in (1, 2, 3)
    ]
    figure = plots.curves_figure(history, 2, "net")
    accuracy, loss = figure.axes
    assert [line.get_label() for line in loss.lines[:2]] == [
        "training, measured while training",
        "validation",
    ]
    assert loss.lines[1].get_ydata().tolist() == pytest.approx([3.0, 1.5, 1.0])
    assert accuracy.lines[0].get_ydata().tolist() == pytest.approx([10, 20, 30])
    assert (
        len(accuracy.lines) == 2
    )  # no validation accuracy was measured: training and the kept epoch remain
    for axes in (accuracy, loss):
        assert list(axes.lines[-1].get_xdata()) == [2, 2] and texts(axes) == ["kept: epoch 2"]
    assert accuracy.get_legend() is None and loss.get_legend() is None
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "training, measured while training",
        "validation",
    ]
    assert plots.png(figure).startswith(b"\x89PNG")
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in (accuracy, loss))


@pytest.mark.parametrize(
    "history", [[{"loss": 1.0}], [{"epoch": 1, "loss": None, "val_loss": None}]]
)
def test_a_short_or_broken_history_is_drawn(history: Sequence[dict[str, float]]) -> None:
    assert plots.png(plots.curves_figure(history, None, "net")).startswith(b"\x89PNG")


def test_reliability_leaves_empty_bins_out() -> None:
    bins = [
        {"low": 0.0, "high": 0.5, "n": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 1.0, "n": 4, "confidence": 0.8, "accuracy": 0.75},
    ]
    figure = plots.reliability_figure({"validation": bins}, "net")
    line = next(line for line in figure.axes[0].lines if line.get_label() == "validation")
    assert line.get_xydata().tolist() == [[80.0, 75.0]]
    values, edges, _ = figure.axes[1].patches[0].get_data()
    assert list(values) == [0.0, 100.0] and list(edges) == [0.0, 50.0, 100.0]


def test_accuracy_draws_a_point_and_an_interval_for_each_measured_split() -> None:
    estimate = {"value": 0.6, "low": 0.55, "high": 0.65}
    networks = [
        {
            "name": "a",
            "splits": {"training": None, "validation": {"accuracy": estimate}, "test": None},
        },
        {
            "name": "b",
            "splits": {"training": None, "validation": {"accuracy": estimate}, "test": None},
        },
    ]
    (axes,) = plots.accuracy_figure(networks).axes
    assert len(axes.lines) == 4
    assert axes.lines[0].get_xdata().tolist() == pytest.approx([55, 65])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_legend_handles_labels()[1] == ["validation"]


def test_a_contact_sheet_shows_faces_names_and_bars() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 1), dtype=np.uint8)
    right = {"label": "sad", "predicted": "sad", "probabilities": [0.1, 0.9]}
    wrong = {"label": "happy", "predicted": "sad", "probabilities": [0.25, 0.75]}
    figure = sheets.sheet_figure(
        faces, [right, wrong, right, right, right], ["happy", "sad"], ["#111", "#222"], "t"
    )
    (axes,) = figure.axes
    assert len(axes.images) == 5
    assert axes.images[1].get_array().tolist() == faces[1, ..., 0].tolist()
    assert "sad: right" in texts(axes) and "happy, taken for sad" in texts(axes)
    widths = [bar.get_width() for bar in axes.patches]
    assert (
        len(widths) == 10
        and widths[1] / widths[0] == pytest.approx(9)
        and widths[3] / widths[2] == pytest.approx(3)
    )


def test_with_many_classes_a_tile_shows_the_likeliest_and_the_label() -> None:
    probabilities = np.linspace(0.1, 0.0, 20).tolist()
    assert sheets.shown_classes(probabilities, 15) == [0, 1, 2, 3, 4, 5, 15]
    assert sheets.shown_classes([0.5, 0.5], 1) == [0, 1]


def test_a_name_in_a_script_without_glyphs_is_no_error() -> None:
    assert plots.png(
        plots.confusion_figure(np.eye(2, dtype=int), ["\u60b2\u3057\u3044", "b"], "net")
    )


def test_names_fall_back_on_installed_fonts() -> None:
    from mien.vision.fonts import files_for

    thai, hindi = ("ความสุข", "โกรธ"), ("आनंद", "दुख")  # our own font has the second
    names = thai if len(files_for("".join(thai))) > 1 else hindi
    figure = plots.confusion_figure(np.array([[3, 1], [0, 4]]), names, "names")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure.canvas.draw()
        missing = sum("Glyph" in str(one.message) for one in said)
    assert missing > 0  # as matplotlib would draw them
    plots.png(figure)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure.canvas.draw()
    assert not any("Glyph" in str(one.message) for one in said)


@pytest.mark.parametrize(
    "name",
    [
        "\u00fcberraschung",
        "\u041d\u0415\u0419\u0422\u0420\u0410\u041b\u042c",
        "\u60b2\u3057\u3044",
        "\u0926\u0941\u0916",
    ],
)
def test_long_or_foreign_names_in_bold_log_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    faces = np.zeros((1, 48, 48, 1), np.uint8)
    entry = {"label": name, "predicted": name, "probabilities": [0.9, 0.1]}
    figure = sheets.sheet_figure(faces, [entry], [name, "b"], ["#111", "#222"], "t")
    with caplog.at_level("WARNING"):
        assert plots.png(figure)
    assert not caplog.records
