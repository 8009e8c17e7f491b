"""The report as Markdown: the same numbers as report.json, for a repository or a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mien.evaluation import findings, phrasing


def markdown(
    truth: Mapping[str, Any],
    pictures: Mapping[str, Any],
    scores: Sequence[tuple[str, str, bool]],
    caution: str,
) -> str:
    """Text of report.md.

    Args:
        truth: `Evaluation.to_dict()`.
        pictures: What `report.draw` drew; referred to as `pictures/<file>`.
        scores: Key, name for readers, whether in percent.
        caution: The closing paragraph.
    """
    return "\n".join(
        [
            *_verdict(truth, pictures),
            *(
                line
                for network, drawn in zip(truth["networks"], pictures["networks"], strict=True)
                for line in _network(truth, network, drawn, scores)
            ),
            *_twins(truth),
            *_data(truth["data"]),
            *_method(truth),
            f"Perceived expression, not felt emotion. {caution}",
            "",
        ]
    )


def _verdict(truth: Mapping[str, Any], pictures: Mapping[str, Any]) -> list[str]:
    words = truth["words"]
    return [
        f"# Perceived expression, judged on {_plain(truth['data']['source'])}",
        "",
        _plain(" ".join(words["verdict"])),
        "",
        "```",
        findings.table(truth).replace("```", "'''"),
        "```",
        "",
        "## What each split proves",
        "",
        *_list(words["splits"]),
        "## Comparison",
        "",
        _image(pictures["accuracy"]),
        "",
        *_list([*words["gaps"].values(), *words["confidence"].values(), *words["comparisons"]]),
    ]


def _network(
    truth: Mapping[str, Any],
    network: Mapping[str, Any],
    drawn: Mapping[str, Any],
    scores: Sequence[tuple[str, str, bool]],
) -> list[str]:
    """Everything about one network: scores, classes, confusions, pictures, maps."""
    name, words = network["name"], truth["words"]
    splits = {s: network["splits"][s] for s in truth["measured"] if network["splits"][s]}
    rows = [["faces", *(phrasing.count(x["n"]) for x in splits.values())]]
    for key, text, rate in scores:
        rows.append([text, *(_estimate(x[key], rate) for x in splits.values())])
    errors = [phrasing.decimal(x["ece"]) for x in splits.values()]
    rows.append([f"calibration error ({truth['made']['num_bins']} bins)", *errors])
    out = [f"## {_plain(name)}", "", *_table(["score", *splits], rows)]
    for split, x in splits.items():
        out += [f"### By class, {split}", "", *_by_class(x["per_class"])]
    for split, x in splits.items():
        out += [f"### Most confused, {split}", "", *_confused(x["confused_pairs"])]
    out += _list([*([words["curves"][name]] if "curves" in drawn else []), words["worst"][name]])
    shown = (drawn.get("curves"), *drawn["confusion"].values(), drawn["reliability"])
    for picture in (*shown, *drawn["sheets"].values()):
        if picture is not None:
            out += [_image(picture), ""]
    if truth["maps"] and truth["maps"]["network"] == name:
        maps = words["maps"]
        out += [f"### Which places it uses, {truth['maps']['split']}", ""]
        out += [_plain(f"{maps['method']} {maps['limits']}"), "", *_list(maps["classes"].values())]
        if "maps" in drawn:
            out += [_image(drawn["maps"]), ""]
    return out


def _by_class(per_class: Sequence[Mapping[str, Any]]) -> list[str]:
    return _table(
        ["class", "faces", "precision", "recall", "F1"],
        [
            [c["label"], phrasing.count(c["n"])]
            + [phrasing.decimal(v, 2) for v in (c["precision"], c["recall"], c["f1"]["value"])]
            for c in per_class
        ],
    )


def _confused(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    return _table(
        ["label", "taken for", "faces", "share"],
        [
            [p["label"], p["predicted"], phrasing.count(p["n"]), phrasing.percent(p["share"])]
            for p in pairs
        ],
    )


def _twins(truth: Mapping[str, Any]) -> list[str]:
    return [
        "## Twins and annotators",
        "",
        *_list(truth["words"]["leaks"].values()),
        *_table(
            ["network", "split", "twins", "with them", "without", "errors"]
            + ["annotators side with network", "with label", "with neither", "undecided"],
            [
                _siding(n["name"], s, n["splits"][s])
                for n in truth["networks"]
                for s in truth["measured"]
                if n["splits"][s]
            ],
        ),
    ]


def _data(data: Mapping[str, Any]) -> list[str]:
    left = data["left_out"]
    return [
        "## Data",
        "",
        f"Source: {_plain(data['source'])}; fingerprint {data['fingerprint']}.",
        "",
        *_table(
            ["split", *data["labels"], "all"],
            [
                [
                    split,
                    *(phrasing.count(n if data["totals"][split] else None) for n in row.values()),
                ]
                + [phrasing.count(data["totals"][split] or None)]
                for split, row in data["counts"].items()
            ],
        ),
        *_list(map(phrasing.sentence, data["notes"])),
        f"Left out: {phrasing.count(left['n'])} rows that could not be read.",
        "",
        *_list(f"{r['where']}, row {r['row']}: {r['reason']}" for r in left["rows"]),
    ]


def _method(truth: Mapping[str, Any]) -> list[str]:
    made = truth["made"]
    hardware = made["hardware"]
    return [
        "## How it was measured",
        "",
        *_list(
            [
                f"Intervals: {made['interval']}, {phrasing.count(made['num_bootstrap'])} "
                f"resamples, seed {made['seed']}.",
                f"Best network: {truth['best']['rule']}",
                f"Made {made['date']} on {hardware['platform']}, {hardware['processor']}, "
                f"{hardware['cores']} cores.",
                "Versions: " + ", ".join(f"{k} {v}" for k, v in made["versions"].items()) + ".",
            ]
        ),
    ]


def _siding(name: str, split: str, scores: Mapping[str, Any]) -> list[str]:
    """A row about twins and annotators."""
    twins, agreement = scores["twins"], scores["vote_agreement"]
    if split == "training":
        row = [name, split, "n/a", phrasing.percent(scores["accuracy"]["value"]), "n/a"]
    else:
        row = [
            name,
            split,
            phrasing.count(twins["n"]),
            phrasing.percent(scores["accuracy"]["value"]),
        ]
        row.append(phrasing.percent(twins["accuracy_without"]["value"]))
    if agreement is None:
        return [*row, *["n/a"] * 5]
    sides = ("with_prediction", "with_label", "neither", "undecided")
    return [
        *row,
        phrasing.count(agreement["errors"]),
        *(phrasing.percent(agreement[side]["share"]) for side in sides),
    ]


def _estimate(estimate: Mapping[str, float | None], rate: bool) -> str:
    value = (phrasing.percent if rate else phrasing.decimal)(estimate["value"])
    bounds = phrasing.interval(estimate, rate=rate)
    return f"{value} ({bounds})" if bounds else value


def _plain(text: object) -> str:
    """Text that Markdown and HTML leave as it is."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", html.escape(str(text), quote=False)).replace(
        "\n", " "
    )


def _list(lines: Iterable[str]) -> list[str]:
    return [*(f"- {_plain(line)}" for line in lines), ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [
        "| " + " | ".join(cell if i == 1 else _plain(cell) for cell in row) + " |"
        for i, row in enumerate(cells)
    ] + [""]


def _image(picture: Mapping[str, Any]) -> str:
    return f"![{_plain(picture['alt'])}](pictures/{picture['file']})"
