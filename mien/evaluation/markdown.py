"""The report as Markdown: the same numbers as report.json, for a repository or a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mien.evaluation import findings


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
    data, made, measured = truth["data"], truth["made"], truth["measured"]
    out = [f"# Perceived expression, judged on {_plain(data['source'])}", ""]
    out += [
        _plain(" ".join(truth["words"]["verdict"])),
        "",
        "```",
        findings.table(truth).replace("```", "'''"),
        "```",
        "",
    ]
    out += ["## What each split proves", "", *_list(truth["words"]["splits"])]
    out += ["## Comparison", "", _image(pictures["accuracy"]), ""]
    out += _list(
        [
            *truth["words"]["gaps"].values(),
            *truth["words"]["confidence"].values(),
            *truth["words"]["comparisons"],
        ]
    )
    for network, of in zip(truth["networks"], pictures["networks"], strict=True):
        splits = {s: network["splits"][s] for s in measured if network["splits"][s]}
        out += [f"## {_plain(network['name'])}", ""]
        rows = [["faces", *(findings.count(x["n"]) for x in splits.values())]]
        for key, text, rate in scores:
            rows.append([text, *(_estimate(x[key], rate) for x in splits.values())])
        errors = [findings.decimal(x["ece"]) for x in splits.values()]
        rows.append([f"calibration error ({made['num_bins']} bins)", *errors])
        out += _table(["score", *splits], rows)
        for split, x in splits.items():
            out += [f"### By class, {split}", ""]
            out += _table(
                ["class", "faces", "precision", "recall", "F1"],
                [
                    [c["label"], findings.count(c["n"])]
                    + [
                        findings.decimal(v, 2)
                        for v in (c["precision"], c["recall"], c["f1"]["value"])
                    ]
                    for c in x["per_class"]
                ],
            )
        for split, x in splits.items():
            out += [f"### Most confused, {split}", ""]
            out += _table(
                ["label", "taken for", "faces", "share"],
                [
                    [
                        p["label"],
                        p["predicted"],
                        findings.count(p["n"]),
                        findings.percent(p["share"]),
                    ]
                    for p in x["confused_pairs"]
                ],
            )
        out += _list(
            [
                *([truth["words"]["curves"][network["name"]]] if "curves" in of else []),
                truth["words"]["worst"][network["name"]],
            ]
        )
        shown = [
            of.get("curves"),
            *of["confusion"].values(),
            of["reliability"],
            *of["sheets"].values(),
        ]
        for picture in shown:
            if picture is not None:
                out += [_image(picture), ""]
        if truth["maps"] and truth["maps"]["network"] == network["name"]:
            said = truth["words"]["maps"]
            out += [f"### Which places it uses, {truth['maps']['split']}", ""]
            out += [
                _plain(f"{said['method']} {said['limits']}"),
                "",
                *_list(said["classes"].values()),
            ]
            if "maps" in of:
                out += [_image(of["maps"]), ""]
    out += ["## Twins and annotators", "", *_list(truth["words"]["leaks"].values())]
    out += _table(
        ["network", "split", "twins", "with them", "without", "errors"]
        + ["annotators side with network", "with label", "with neither", "undecided"],
        [
            _siding(n["name"], s, n["splits"][s])
            for n in truth["networks"]
            for s in measured
            if n["splits"][s]
        ],
    )
    out += [
        "## Data",
        "",
        f"Source: {_plain(data['source'])}; fingerprint {data['fingerprint']}.",
        "",
    ]
    out += _table(
        ["split", *data["labels"], "all"],
        [
            [split, *(findings.count(n if data["totals"][split] else None) for n in row.values())]
            + [findings.count(data["totals"][split] or None)]
            for split, row in data["counts"].items()
        ],
    )
    out += _list(map(findings.sentence, data["notes"]))
    left = data["left_out"]
    out += [f"Left out: {findings.count(left['n'])} rows that could not be read.", ""]
    out += _list(f"{r['where']}, row {r['row']}: {r['reason']}" for r in left["rows"])
    out += ["## How it was measured", ""]
    out += _list(
        [
            f"Intervals: {made['interval']}, {findings.count(made['num_bootstrap'])} resamples, seed {made['seed']}.",
            f"Best network: {truth['best']['rule']}",
            f"Made {made['date']} on {made['hardware']['platform']}, {made['hardware']['processor']}, "
            f"{made['hardware']['cores']} cores.",
            "Versions: " + ", ".join(f"{k} {v}" for k, v in made["versions"].items()) + ".",
        ]
    )
    out += [f"Perceived expression, not felt emotion. {caution}", ""]
    return "\n".join(out)


def _siding(name: str, split: str, scores: Mapping[str, Any]) -> list[str]:
    """A row about twins and annotators."""
    twins, agreement = scores["twins"], scores["vote_agreement"]
    if split == "training":
        row = [name, split, "n/a", findings.percent(scores["accuracy"]["value"]), "n/a"]
    else:
        row = [
            name,
            split,
            findings.count(twins["n"]),
            findings.percent(scores["accuracy"]["value"]),
        ]
        row.append(findings.percent(twins["accuracy_without"]["value"]))
    if agreement is None:
        return [*row, *["n/a"] * 5]
    sides = ("with_prediction", "with_label", "neither", "undecided")
    return [
        *row,
        findings.count(agreement["errors"]),
        *(findings.percent(agreement[side]["share"]) for side in sides),
    ]


def _estimate(estimate: Mapping[str, float | None], rate: bool) -> str:
    value = (findings.percent if rate else findings.decimal)(estimate["value"])
    bounds = findings.interval(estimate, rate=rate)
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
