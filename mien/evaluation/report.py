"""Write an Evaluation to files: report.json (all numbers), pictures/*.png, report.md, report.html.

report.html is a single file with the pictures inside, without scripts or external requests.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import writing
from mien.evaluation import phrasing, plots, sheets
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.markdown import markdown
from mien.evaluation.occlusion import NUM_MAPPED
from mien.evaluation.sentences import comparison

_MEAN_SIDE, _MAP_SIDE = 144, 96  # pixels of a mean map and of the map of a face on the page
LISTED = 50  # left-out rows listed on the page; report.json has them all
CAUTION = (
    "The networks answer how a face looks to the people who labelled such pictures. A face does "
    "not show what a person feels (Barrett et al. 2019), and the labels are noisy: the FER+ "
    "annotators agree with only about two of three labels of FER2013. Not for judging people: the "
    "EU AI Act forbids inferring emotions at work and in education (Art. 5(1)(f)), and asks those "
    "who use such systems elsewhere to inform the people exposed (Art. 50(3))."
)
# Key in report.json, name on the page, whether it is shown in percent.
_SCORES = (
    ("accuracy", "accuracy", True),
    ("loss", "loss (cross-entropy, NLL)", False),
    ("macro_f1", "macro-F1", False),
    ("balanced_accuracy", "balanced accuracy", True),
    ("top2_accuracy", "top-2 accuracy", True),
    ("brier", "Brier score", False),
)
# Key in report.json, title of its contact sheet.
_SHEETS = (
    ("correct", "right"),
    ("wrong", "wrong"),
    ("worst", "worst errors"),
    ("doubtful", "errors where the annotators side with it"),
)
_FACTS = (
    "parameters", "multiply_adds", "seconds_per_epoch", "peak_memory_mb", "epochs", "best_epoch",
    "num_trained_on",
    "stopped", "recipe", "history", "averaged",
)  # fmt: skip


def write_report(evaluation: Evaluation, folder: str | os.PathLike[str]) -> Path:
    """Write report.html, report.json, report.md and a folder of pictures into `folder`.

    Files of an earlier report are replaced one by one, each of them atomically.

    Returns:
        The path of report.html.

    Raises:
        RunError: if the folder cannot be written.
    """
    folder = Path(folder)
    with writing(folder):  # before drawing, which takes seconds
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
    truth = evaluation.to_dict()
    pictures = draw(evaluation)
    page = html(evaluation, pictures)
    with writing(folder):
        _write(
            folder / "report.json", json.dumps(truth, indent=1, allow_nan=False, ensure_ascii=False)
        )
        for picture in _flat(pictures):
            _write(folder / "pictures" / picture["file"], picture["data"])
        _write(folder / "report.md", markdown(truth, pictures, _SCORES, CAUTION))
        _write(folder / "report.html", page)
    return folder / "report.html"


def _write(path: Path, data: bytes | str) -> None:
    content = data.encode("utf-8") if isinstance(data, str) else data
    # A random name: another process may be writing the same report.
    part = path.with_name(f".{uuid.uuid4().hex[:8]}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink()


def draw(evaluation: Evaluation) -> dict[str, Any]:
    """Draw all pictures of a report.

    Returns:
        {"accuracy": p, "networks": [{"confusion": {split: p}, "curves": p, "reliability": p,
        "sheets": {kind: p}, "maps": p}]}, where a picture p is {"file", "alt", "data" (PNG bytes),
        "width", "height" (pixels)}. Pictures that do not apply are missing.
    """
    truth = evaluation.truth
    accuracies = "; ".join(
        f"{n['name']} on {split} {phrasing.percent(scores['accuracy']['value'])}"
        for n in truth["networks"]
        for split, scores in n["splits"].items()
        if scores
    )
    figure = plots.accuracy_figure(truth["networks"])
    return {
        "accuracy": _picture("accuracy.png", f"Accuracy with intervals: {accuracies}", figure),
        "networks": [
            _draw_network(evaluation, network, number)
            for number, network in enumerate(truth["networks"], 1)
        ],
    }


def _draw_network(
    evaluation: Evaluation, network: Mapping[str, Any], number: int
) -> dict[str, Any]:
    truth, labels = evaluation.truth, evaluation.truth["data"]["labels"]
    name, splits = network["name"], {s: x for s, x in network["splits"].items() if x}
    stem = f"{number}-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')[:40] or 'network'}"
    drawn: dict[str, Any] = {"confusion": {}, "sheets": _draw_sheets(evaluation, network, stem)}
    for split, scores in splits.items():
        recalls = ", ".join(
            f"{c['label']} {phrasing.percent(c['recall'])}" for c in scores["per_class"]
        )
        n = phrasing.count(scores["n"])
        drawn["confusion"][split] = _picture(
            f"{stem}-confusion-{split}.png",
            f"Confusion matrix of {name} on {split}, {n} faces. Recognised: {recalls}",
            plots.confusion_figure(
                np.array(scores["confusion"]), labels, f"{name}, {split}, n = {n}"
            ),
        )
    errors = [f"{s}: calibration error {phrasing.decimal(x['ece'])}" for s, x in splits.items()]
    drawn["reliability"] = _picture(
        f"{stem}-reliability.png",
        f"Reliability of {name}. " + ", ".join(errors),
        plots.reliability_figure({s: x["reliability"] for s, x in splits.items()}, name),
    )
    history = network["info"].get("history")
    if history:
        best = network["info"].get("best_epoch")
        drawn["curves"] = _picture(
            f"{stem}-curves.png",
            f"Learning curves of {name} over {len(history)} epochs, accuracy and loss, training "
            f"and validation; kept: epoch {phrasing.count(best)}",
            plots.curves_figure(history, best, name),
        )
    if truth["maps"] and truth["maps"]["network"] == name:
        shown = [c for c in truth["maps"]["classes"] if c["n"]]
        if shown:
            title = f"{name}, {truth['maps']['split']}: occlusion maps"
            drawn["maps"] = _picture(
                f"{stem}-maps.png",
                f"{title}, for each class the mean map and up to {NUM_MAPPED} faces with their "
                "own: "
                + ", ".join(f"{c['label']} ({phrasing.plural(c['n'], 'face')})" for c in shown),
                sheets.maps_figure(
                    [(c["label"], _map_pictures(evaluation, c)) for c in shown], title
                ),
            )
    return drawn


def _draw_sheets(
    evaluation: Evaluation, network: Mapping[str, Any], stem: str
) -> dict[str, dict[str, Any]]:
    """Contact sheets of examples from the study split."""
    split, data = evaluation.truth["study_split"], evaluation.truth["data"]
    drawn = {}
    for kind, title in _SHEETS:
        examples = (network["splits"][split] or {}).get(kind)
        if examples:
            faces = evaluation.dataset.images[[x["index"] for x in examples]]
            title = f"{network['name']}, {split}: {title}"
            drawn[kind] = _picture(
                f"{stem}-{kind}.png",
                f"Contact sheet. {title}, {len(examples)} faces with label, answer and "
                "probabilities",
                sheets.sheet_figure(faces, examples, data["labels"], data["colours"], title),
            )
    return drawn


def _picture(file: str, alt: str, figure: Any) -> dict[str, Any]:
    data = plots.png(figure)
    width, height = struct.unpack(">II", data[16:24])  # from the PNG header
    return {"file": file, "alt": alt, "data": data, "width": width, "height": height}


def _flat(pictures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All pictures of `draw`, one after the other."""
    yield pictures["accuracy"]
    for drawn in pictures["networks"]:
        yield from drawn["confusion"].values()
        yield from drawn["sheets"].values()
        yield from (drawn[key] for key in ("reliability", "curves", "maps") if key in drawn)


def html(evaluation: Evaluation, pictures: Mapping[str, Any]) -> str:
    """The page report.html. All text is escaped: labels, names, notes and paths may hold anything.

    Args:
        evaluation: The evaluation.
        pictures: The result of `draw`.
    """
    import jinja2

    truth = evaluation.to_dict()
    for network in truth["networks"]:
        network["info"] = {**dict.fromkeys(_FACTS), **network["info"]}
    for picture in _flat(pictures):
        picture["src"] = _data_uri(picture["data"])
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value.replace(" %", "\u00a0%") if isinstance(value, str) else value,
    )
    source = (
        resources.files("mien.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    return environment.from_string(source).render(
        t=truth,
        w=phrasing,
        comparison=comparison,
        pictures={
            "accuracy": pictures["accuracy"],
            "networks": [{"curves": None, **drawn} for drawn in pictures["networks"]],
        },
        scores=_SCORES,
        faces=lambda examples: _faces(evaluation, examples),
        mapped=lambda: _mapped(evaluation),
        listed=LISTED,
        caution=CAUTION,
    )


def _faces(evaluation: Evaluation, examples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The contents of a tile of the page for each example."""
    names, colour = evaluation.dataset.label_set.names, evaluation.dataset.label_set.colour
    tiles = []
    for example in examples:
        true = names.index(example["label"])
        bars = [
            {
                "name": names[k],
                "true": k == true,
                "colour": colour(k),
                "width": f"{100 * example['probabilities'][k]:.1f}",
                "percent": f"{100 * example['probabilities'][k]:.0f}",
            }
            for k in sheets.shown_classes(example["probabilities"], true)
        ]
        votes = ", ".join(
            f"{name.replace('_', ' ')} {n}" for name, n in (example["votes"] or {}).items()
        )
        src = _image_uri(evaluation.dataset.images[example["index"]])
        tiles.append({**example, "bars": bars, "vote_text": votes, "src": src})
    return tiles


def _map_pictures(
    evaluation: Evaluation, mapped: Mapping[str, Any]
) -> list[tuple[str, np.ndarray]]:
    """Pictures of a class with captions: the mean map over the mean face, then each example without
    and with its map.
    """
    images = evaluation.dataset.images
    mean = sheets.map_over(images[mapped["indices"]], mapped["mean"]["grid"], _MEAN_SIDE)
    shown = [(f"mean of {mapped['n']}", mean)]
    for example in mapped["examples"]:
        face = images[[example["index"]]]
        shown.append((f"row {example['row']}", face[0]))
        shown.append(
            (
                f"at most {phrasing.points(example['peak'])}",
                sheets.map_over(face, example["grid"], _MAP_SIDE),
            )
        )
    return shown


def _mapped(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The classes of the occlusion maps, with their pictures as `srcs`."""
    return [
        {
            **mapped,
            "srcs": [_image_uri(picture) for _, picture in _map_pictures(evaluation, mapped)]
            if mapped["n"]
            else [],
        }
        for mapped in evaluation.truth["maps"]["classes"]
    ]


def _image_uri(image: np.ndarray) -> str:
    """A picture, uint8 (H, W, 1) gray or (H, W, 3) RGB, as a data: address of a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    pixels = image[..., 0] if image.shape[2] == 1 else image
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return _data_uri(buffer.getvalue())


def _data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
