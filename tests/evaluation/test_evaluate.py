"""The whole judgement: from predictions to the truth of the report, and its words."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.cli.evaluate import best_run
from mien.constants import FACE_SIDE
from mien.data.audit import audit
from mien.data.dataset import SPLITS, Dataset, LeftOut
from mien.data.votes import majority, plurality
from mien.errors import UsageError
from mien.evaluation import findings, phrasing, predictions, sentences
from mien.evaluation.evaluate import Predictions, evaluate
from mien.labels import FER2013, FERPLUS, FERPLUS_VOTES, LabelSet


def predicted(
    dataset: Dataset, name: str, skill: float, seed: int = 0, splits: tuple[str, ...] = SPLITS
) -> Predictions:
    """A network that is right more often the higher its skill."""
    generator = np.random.default_rng(seed)
    probabilities = {}
    for split in splits:
        labels = dataset.part(split).labels
        scores = generator.normal(size=(len(labels), len(dataset.label_set)))
        scores += skill * np.eye(len(dataset.label_set))[labels]
        exp = np.exp(scores)
        probabilities[split] = (exp / exp.sum(1, keepdims=True)).astype(np.float32)
    return Predictions(name, probabilities, {"parameters": 1234, "best_epoch": np.int64(3)})


def certain(answers: dict[str, list[int]], num_classes: int, name: str = "net") -> Predictions:
    """A network that gives its answers a probability of 0.9."""
    rest = 0.1 / (num_classes - 1)
    rows = {
        s: (np.eye(num_classes)[a] * (0.9 - rest) + rest).astype(np.float32)
        for s, a in answers.items()
    }
    return Predictions(name, rows, {})


def tiny(
    labels: list[int], splits: list[int], pixels: list[int], names: tuple[str, ...], **more: object
) -> Dataset:
    """One flat gray picture a row, so that equal numbers in `pixels` are twins."""
    images = (
        np.zeros((len(labels), FACE_SIDE, FACE_SIDE, 1), np.uint8)
        + np.array(pixels, np.uint8)[:, None, None, None]
    )
    rows = np.arange(len(labels)) + 2
    dataset = Dataset(
        images, np.array(labels), np.array(splits, np.uint8), rows, LabelSet(names), "by hand"
    )
    return dataclasses.replace(dataset, **more)  # type: ignore[arg-type]


def test_the_truth_survives_json_and_counts_what_the_data_holds(faces: Dataset) -> None:
    evaluation = evaluate(
        faces, [predicted(faces, "a", 2), predicted(faces, "b", 1)], num_bootstrap=50
    )
    truth = evaluation.to_dict()
    assert json.loads(json.dumps(truth, allow_nan=False)) == truth
    assert truth["data"]["totals"] == {"training": 140, "validation": 35, "test": 35}
    assert truth["data"]["fingerprint"] == faces.fingerprint
    assert truth["networks"][0]["info"] == {"parameters": 1234, "best_epoch": 3}
    assert (
        truth["made"]["seed"] == 0
        and truth["made"]["num_bootstrap"] == 50
        and truth["made"]["versions"]["numpy"]
    )
    for network in truth["networks"]:
        for split, n in truth["data"]["totals"].items():
            scores = network["splits"][split]
            assert (
                scores["n"]
                == n
                == sum(map(sum, scores["confusion"]))
                == sum(c["n"] for c in scores["per_class"])
            )
            right = sum(scores["confusion"][k][k] for k in range(7))
            assert scores["accuracy"]["value"] == pytest.approx(right / n)
            assert (
                scores["accuracy"]["low"]
                <= scores["accuracy"]["value"]
                <= scores["accuracy"]["high"]
            )


def test_the_caller_cannot_change_the_truth(faces: Dataset) -> None:
    evaluation = evaluate(faces, [predicted(faces, "a", 2)], num_bootstrap=0)
    evaluation.to_dict()["networks"].clear()
    assert len(evaluation.to_dict()["networks"]) == 1


def test_validation_chooses_and_test_does_not() -> None:
    data = tiny([0, 1, 0, 1], [1, 1, 2, 2], [1, 2, 3, 4], ("angry", "happy"))
    good_on_validation = certain({"validation": [0, 1], "test": [1, 0]}, 2, "validation-good")
    good_on_test = certain({"validation": [0, 0], "test": [0, 1]}, 2, "test-good")
    evaluation = evaluate(data, [good_on_test, good_on_validation], num_bootstrap=0)
    assert evaluation.best == "validation-good"
    said = " ".join(evaluation.to_dict()["words"]["verdict"])
    assert (
        "On the test pictures, used for no choice, validation-good reaches 0.0 % of 2 faces" in said
    )


def test_the_next_step_named_is_of_the_best_run(faces: Dataset) -> None:
    labels = faces.part("validation").labels
    right, wrong = ({"validation": ((labels + k) % 7).tolist()} for k in (0, 1))
    runs = [certain(wrong, 7, "a"), certain(right, 7, "b")]
    folders = [Path("runs/a"), Path("runs/b")]
    assert best_run(folders, evaluate(faces, runs)) == folders[1]
    assert best_run(folders[:1], evaluate(faces, runs)) == folders[0]


def test_without_validation_none_is_chosen() -> None:
    data = tiny([0, 1], [2, 2], [1, 2], ("angry", "happy"))
    evaluation = evaluate(data, [certain({"test": [0, 1]}, 2)], num_bootstrap=0)
    assert evaluation.best is None
    assert "None was chosen" in evaluation.to_dict()["words"]["verdict"][0]
    assert "*" not in evaluation.table()


def test_a_missing_split_is_none_and_said(faces: Dataset) -> None:
    data = faces.take(~faces.mask("test"))
    evaluation = evaluate(data, [predicted(data, "a", 2, splits=("validation",))], num_bootstrap=0)
    truth = evaluation.to_dict()
    assert truth["measured"] == ["validation"] and truth["yardstick"] == "validation"
    assert (
        truth["networks"][0]["splits"]["training"] is None
        and truth["networks"][0]["splits"]["test"] is None
    )
    assert "The data has no test pictures" in truth["words"]["verdict"][1]
    assert "the gap is not known" in truth["words"]["gaps"]["a"]
    line = evaluation.table().splitlines()[2]
    assert line.startswith("a *") and line.count("n/a") == 4  # training, test, seconds, memory


def test_a_class_absent_from_a_split_has_no_rates() -> None:
    data = tiny([0, 1, 2, 0, 1], [0, 0, 0, 1, 1], [1, 2, 3, 4, 5], ("angry", "fear", "happy"))
    network = certain({"training": [0, 1, 2], "validation": [0, 2]}, 3)
    scores = evaluate(data, [network], num_bootstrap=20).to_dict()["networks"][0]["splits"][
        "validation"
    ]
    absent = scores["per_class"][2]
    assert (
        absent["n"] == 0
        and absent["recall"] is None
        and absent["f1"] == {"value": None, "low": None, "high": None}
    )
    assert absent["precision"] == 0.0 and scores["macro_f1"]["value"] == pytest.approx(0.5)


def test_twins_are_counted_and_set_aside() -> None:
    # validation: the twins of training (7, 7) are right, the others (8, 9) one right, one wrong
    data = tiny([0, 0, 0, 0, 1], [0, 1, 1, 1, 1], [7, 7, 7, 8, 9], ("angry", "happy"))
    twins = evaluate(data, [certain({"validation": [0, 0, 0, 0]}, 2)], num_bootstrap=0).to_dict()[
        "networks"
    ][0]
    found = twins["splits"]["validation"]["twins"]
    assert found["n"] == 2 and found["n_without"] == 2
    assert found["accuracy_of_twins"] == 1.0 and found["accuracy_without"]["value"] == 0.5


def test_the_plurality_is_among_the_labels_and_knows_ties() -> None:
    votes = np.zeros((5, len(FERPLUS_VOTES)), np.uint8)
    votes[0, FERPLUS_VOTES.index("happy")] = 3
    votes[0, FERPLUS_VOTES.index("unknown")] = 7  # no label of the set: does not count
    votes[1, [FERPLUS_VOTES.index("sad"), FERPLUS_VOTES.index("happy")]] = 5
    votes[2, FERPLUS_VOTES.index("not_a_face")] = 10
    votes[3, FERPLUS_VOTES.index("angry")] = 10
    ballots, choice, tied = plurality(votes, LabelSet(("sad", "happy", "angry")))
    assert choice.tolist() == [1, 0, -1, 2, -1]
    assert tied.tolist() == [False, True, False, False, False]
    assert ballots.tolist() == [[0, 3, 0], [5, 5, 0], [0, 0, 0], [0, 0, 10], [0, 0, 0]]


def voted(faces: Dataset) -> Dataset:
    """Drawn faces with votes, ties and empty ballots among them."""
    generator = np.random.default_rng(3)
    leanings = generator.dirichlet(np.full(len(FERPLUS_VOTES), 0.3), len(faces))
    votes = generator.multinomial(10, leanings).astype(np.uint8)
    votes[::7] = 0
    return dataclasses.replace(faces, votes=votes)


def test_report_and_audit_agree_about_the_annotators(faces: Dataset) -> None:
    data = voted(faces)
    truth = evaluate(data, [predicted(data, "a", 1)], num_bootstrap=0).to_dict()
    found = audit(data, near_duplicates=False)
    for split in SPLITS:
        siding = truth["networks"][0]["splits"][split]["vote_agreement"]
        agreement = found.agreement(split)
        assert (
            agreement["tied"] > 0
            and siding["counted"] == agreement["n"] < truth["data"]["totals"][split]
        )
        assert siding["label_is_choice"] == pytest.approx(agreement["agrees"])


def test_doubtful_labels_are_errors_where_the_annotators_side_with_the_network(
    faces: Dataset,
) -> None:
    data = voted(faces)
    scores = evaluate(data, [predicted(data, "a", 0.5)], num_bootstrap=0).to_dict()["networks"][0][
        "splits"
    ]["training"]
    assert len(scores["doubtful"]) == min(12, scores["vote_agreement"]["with_prediction"]["n"]) > 3
    for one in scores["doubtful"]:
        of_labels = {name: n for name, n in one["votes"].items() if name in FER2013}
        assert one["label"] != one["predicted"] and one["index"] in np.flatnonzero(
            data.mask("training")
        )
        assert all(
            n < of_labels[one["predicted"]]
            for name, n in of_labels.items()
            if name != one["predicted"]
        )
    sure = [max(one["probabilities"]) for one in scores["doubtful"]]
    assert sure == sorted(sure, reverse=True) and sure[0] > sure[-1]


def test_a_vote_head_is_judged_by_ferplus_majority(faces: Dataset) -> None:
    data = voted(faces)
    said = {}
    for split in ("validation", "test"):
        winner = majority(data.part(split).votes)
        said[split] = np.eye(len(FERPLUS))[
            np.maximum(winner, 0)
        ]  # right wherever there is a winner
    network = dataclasses.replace(predicted(data, "a", 0.5), votes=said)
    evaluation = evaluate(data, [network], num_bootstrap=0)
    splits = evaluation.to_dict()["networks"][0]["splits"]
    found = splits["test"]["ferplus"]
    assert found["n"] == np.sum(majority(data.part("test").votes) >= 0) > 0
    assert found["accuracy"]["value"] == 1.0 and found["ece"] == pytest.approx(0)
    assert splits["training"]["ferplus"] is None
    assert "by FER+'s majority protocol its vote head is right on 100.0 %" in evaluation.table()


def test_accuracy_without_twins_is_told(faces: Dataset) -> None:
    copied = faces.images.copy()
    rows = np.flatnonzero(faces.mask("test"))[:5]
    copied[rows] = copied[np.flatnonzero(faces.mask("training"))[:5]]
    data = dataclasses.replace(faces, images=copied)
    told = evaluate(data, [predicted(data, "a", 0.5)], num_bootstrap=0).table()
    assert "of the 30 whose pixels do not occur in training" in told


def test_without_votes_nothing_is_doubtful(faces: Dataset) -> None:
    truth = evaluate(faces, [predicted(faces, "a", 1)], num_bootstrap=0).to_dict()
    assert truth["networks"][0]["splits"]["validation"]["doubtful"] is None


def test_with_whom_the_annotators_side() -> None:
    votes = np.zeros((6, len(FERPLUS_VOTES)), np.uint8)
    votes[0, FERPLUS_VOTES.index("happy")] = 9  # with the prediction
    votes[1, FERPLUS_VOTES.index("angry")] = 9  # with the label
    votes[2, FERPLUS_VOTES.index("contempt")] = (
        9  # an answer that the label set lacks: no vote counts
    )
    votes[3, FERPLUS_VOTES.index("sad")] = 9  # a third label
    votes[4, [FERPLUS_VOTES.index("happy"), FERPLUS_VOTES.index("sad")]] = 5  # undecided
    votes[5, FERPLUS_VOTES.index("angry")] = 9  # no error
    # names in the order of no other list, so that positions cannot be taken for names
    data = tiny([2] * 6, [1] * 6, [1, 2, 3, 4, 5, 6], ("happy", "sad", "angry"), votes=votes)
    truth = evaluate(
        data, [certain({"validation": [0, 0, 0, 0, 0, 2]}, 3)], num_bootstrap=0
    ).to_dict()
    siding = truth["networks"][0]["splits"]["validation"]["vote_agreement"]
    assert siding["errors"] == 5 and siding["counted"] == 5
    assert siding["with_prediction"] == {"n": 1, "share": 0.2} and siding["with_label"] == {
        "n": 1,
        "share": 0.2,
    }
    assert siding["neither"] == {"n": 1, "share": 0.2} and siding["undecided"] == {
        "n": 2,
        "share": 0.4,
    }
    assert siding["label_is_choice"] == pytest.approx(2 / 5)
    worst = truth["networks"][0]["splits"]["validation"]["worst"]
    assert len(worst) == 5 and {"happy": 9} in [w["votes"] for w in worst]


def test_the_worst_errors_come_first_and_are_errors(faces: Dataset) -> None:
    truth = evaluate(faces, [predicted(faces, "a", 0.5)], num_bootstrap=0).to_dict()
    scores = truth["networks"][0]["splits"]["validation"]
    losses = [w["loss"] for w in scores["worst"]]
    assert len(losses) == 12 and losses == sorted(losses, reverse=True)
    assert all(w["label"] != w["predicted"] for w in scores["worst"] + scores["wrong"])
    assert scores["correct"] and all(c["label"] == c["predicted"] for c in scores["correct"])
    for example in scores["worst"] + scores["correct"]:
        assert faces.splits[example["index"]] == SPLITS.index("validation")
        assert FER2013[faces.labels[example["index"]]] == example["label"]
        assert faces.rows[example["index"]] == example["row"]


def test_confused_pairs_are_the_largest_cells_off_the_diagonal() -> None:
    data = tiny([0, 0, 0, 1, 1, 2], [1] * 6, [1, 2, 3, 4, 5, 6], ("angry", "fear", "happy"))
    truth = evaluate(
        data, [certain({"validation": [1, 1, 0, 1, 2, 2]}, 3)], num_bootstrap=0
    ).to_dict()
    pairs = truth["networks"][0]["splits"]["validation"]["confused_pairs"]
    assert [(p["label"], p["predicted"], p["n"], p["of"]) for p in pairs] == [
        ("angry", "fear", 2, 3),
        ("fear", "happy", 1, 2),
    ]


def test_pairs_are_compared_on_both_evaluation_splits(faces: Dataset) -> None:
    networks = [
        predicted(faces, "a", 3, 0),
        predicted(faces, "b", 1, 1),
        predicted(faces, "c", 0, 2),
    ]
    truth = evaluate(faces, networks, num_bootstrap=0).to_dict()
    assert [(c["split"], c["first"], c["second"]) for c in truth["comparisons"]] == [
        (split, *pair)
        for split in ("validation", "test")
        for pair in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    first = truth["comparisons"][1]
    accuracy = [n["splits"]["validation"]["accuracy"]["value"] for n in truth["networks"]]
    assert first["difference"] == pytest.approx(accuracy[0] - accuracy[2])
    assert (
        first["n"]
        == 35
        == first["both"] + first["neither"] + first["only_first"] + first["only_second"]
    )
    assert "unlikely to be chance" in truth["words"]["comparisons"][1]
    loss = [n["splits"]["validation"]["loss"]["value"] for n in truth["networks"]]
    assert first["loss_difference"]["value"] == pytest.approx(loss[0] - loss[2])
    assert "loss" not in truth["words"]["comparisons"][1]  # no resamples, no interval, no judgement


def test_the_loss_of_a_pair_is_told_with_its_interval(faces: Dataset) -> None:
    networks = [predicted(faces, "a", 0, 0), predicted(faces, "b", 3, 1)]
    truth = evaluate(faces, networks, num_bootstrap=200).to_dict()
    loss = truth["comparisons"][0]["loss_difference"]
    assert 0 < loss["low"] < loss["value"] < loss["high"]
    told = (
        f"The loss of b is lower by {loss['value']:.3f} ({loss['low']:.3f} to {loss['high']:.3f}): "
        "unlikely"
    )
    assert told in truth["words"]["comparisons"][0]
    turned = evaluate(
        faces, networks[::-1], num_bootstrap=200
    ).to_dict()  # the same words in the other order
    assert told in turned["words"]["comparisons"][0]


@pytest.mark.parametrize(
    ("training", "held", "judgement"),
    [
        (0.62, 0.60, "equally well"),
        (0.70, 0.62, "overfits somewhat"),
        (0.90, 0.62, "overfits strongly"),
        (0.60, 0.70, "look at how the splits were made"),
        (0.27, 0.26, "has learned little"),
    ],
)
def test_the_gap_is_put_in_words(training: float, held: float, judgement: str) -> None:
    def scores(value: float) -> dict[str, object]:
        return {"accuracy": {"value": value}, "baseline": {"label": "happy", "accuracy": 0.25}}

    network = {
        "name": "n",
        "splits": {"training": scores(training), "validation": scores(held), "test": None},
    }
    sentence = sentences.gap(network, "validation")
    assert judgement in sentence
    assert sentence.startswith(
        f"n: {100 * training:.1f} % on training against {100 * held:.1f} % on validation, a gap"
    )


def test_numbers_in_words() -> None:
    assert phrasing.percent(0.6234) == "62.3 %" and phrasing.percent(None) == "n/a"
    assert phrasing.decimal(-0.0001) == "0.000" and phrasing.points(-0.0001) == "0.0 points"
    assert phrasing.interval({"low": -0.0001, "high": 0.01}, rate=False) == "0.000\u20130.010"
    assert phrasing.short(117_000_000) == "117 M" and phrasing.short(None) == "n/a"
    assert (
        phrasing.count(28709) == "28,709"
        and phrasing.count(0) == "0"
        and phrasing.count(None) == "n/a"
    )
    assert phrasing.p_value(0.0001) == "p < 0.001" and phrasing.p_value(0.034) == "p = 0.034"


def test_notes_and_left_out_rows_are_kept() -> None:
    left = (LeftOut("faces.csv", 7, "2303 pixels"),)
    data = tiny([0, 1], [1, 1], [1, 2], ("angry", "happy"), notes=("one",), left_out=left)
    truth = evaluate(
        data, [certain({"validation": [0, 1]}, 2)], num_bootstrap=0, data_notes=["two"]
    ).to_dict()
    assert truth["data"]["notes"] == ["one", "two"]
    assert truth["data"]["left_out"] == {
        "n": 1,
        "rows": [{"where": "faces.csv", "row": 7, "reason": "2303 pixels"}],
    }


def test_unlabelled_rows_are_not_judged() -> None:
    data = tiny([0, -1, 1], [1, 1, 1], [1, 2, 3], ("angry", "happy"))
    truth = evaluate(data, [certain({"validation": [0, 0]}, 2)], num_bootstrap=0).to_dict()
    assert truth["data"]["unlabelled"] == 1
    scores = truth["networks"][0]["splits"]["validation"]
    assert scores["n"] == 2 and [w["row"] for w in scores["worst"]] == [4]


def test_drawn_faces_are_said_to_be_drawn(faces: Dataset) -> None:
    truth = evaluate(faces, [predicted(faces, "a", 2)], num_bootstrap=0).to_dict()
    assert "the figures say nothing about photographs" in " ".join(truth["words"]["splits"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:-1], r"validation: got shape \(34, 7\); expected \(35, 7\)"),
        (lambda p: p[:, :6], r"got shape \(35, 6\)"),
        (lambda p: p * 2, "values that are not probabilities"),
        (lambda p: p * np.nan, "values that are not probabilities"),
        (lambda p: np.log(p), "values that are not probabilities"),
    ],
)
def test_impossible_predictions_are_refused(
    faces: Dataset, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    good = predicted(faces, "a", 2, splits=("validation",))
    bad = Predictions("a", {"validation": change(good.probabilities["validation"])}, {})
    with pytest.raises(UsageError, match=message):
        evaluate(faces, [bad])


def test_impossible_questions_are_refused(faces: Dataset) -> None:
    network = predicted(faces, "a", 2, splits=("validation",))
    with pytest.raises(UsageError, match="expected one or more different names"):
        evaluate(faces, [])
    with pytest.raises(UsageError, match="expected one or more different names"):
        evaluate(faces, [network, network])
    with pytest.raises(UsageError, match="split: got 'PublicTest'"):
        evaluate(faces, [Predictions("a", {"PublicTest": network.probabilities["validation"]}, {})])
    with pytest.raises(UsageError, match="no predictions"):
        evaluate(faces, [Predictions("a", {}, {})])


@pytest.mark.shared
def test_the_annotators_agree_with_the_real_labels_as_evidence_says(shared_dir: Path) -> None:
    """The label equals the annotators' choice on 64.5 % of Training: the files' own rows, no reader
    between.
    """
    with gzip.open(shared_dir / "data" / "fer2013.csv.gz", "rb") as lines:
        labels = np.array([int(line[:1]) for line in lines if line.rstrip().endswith(b",Training")])
    votes = np.loadtxt(
        shared_dir / "data" / "ferplus_votes.csv", delimiter=",", skiprows=1, dtype=str
    )
    votes = votes[votes[:, 0] == "Training"][:, 2:].astype(np.uint8)
    assert len(labels) == len(votes) == 28709
    choice = plurality(votes, FER2013)[1]
    assert np.sum(choice >= 0) == 28557
    assert np.mean((choice == labels)[choice >= 0]) == pytest.approx(0.645, abs=0.0005)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({}, "is not known"),
        (
            {"data": {"num_left_out_as_leaks": 0}, "recipe": {"keep_leaks": True}},
            "was trained on all training rows",
        ),
        (
            {"data": {"num_left_out_as_leaks": 0}, "recipe": {"keep_leaks": False}},
            "none of its training rows has a twin",
        ),
        (
            {"data": {"num_left_out_as_leaks": 351}, "recipe": {"keep_leaks": False}},
            "351 training rows with a twin",
        ),
    ],
)
def test_the_report_says_whether_twins_were_trained_on(info: dict[str, Any], says: str) -> None:
    assert says in sentences.leaks({"name": "small", "same_data": None, "info": info})


def trained_on(network: Predictions, name: str, fingerprint: str) -> Predictions:
    data = {"source": "elsewhere.csv", "fingerprint": fingerprint, "num_left_out_as_leaks": 0}
    info = {**network.info, "data": data, "recipe": {"keep_leaks": False}}
    return dataclasses.replace(network, name=name, info=info)


def test_other_data_is_told_apart_and_said_everywhere(faces: Dataset) -> None:
    network = predicted(faces, "n", 2)
    same, other = (
        trained_on(network, "same", faces.fingerprint),
        trained_on(network, "other", "0123456789abcdef"),
    )
    evaluation = evaluate(faces, [same, other, network], num_bootstrap=0)
    truth = evaluation.to_dict()
    assert [n["same_data"] for n in truth["networks"]] == [True, False, None]
    said = truth["words"]
    assert said["other_data"].startswith(
        "Other data: other was trained on elsewhere.csv (fingerprint 0123456789abcdef)"
    )
    assert said["verdict"][1] == said["other_data"]
    assert "none of its training rows has a twin" in said["leaks"]["same"]
    assert "or these very pictures, is not known" in said["leaks"]["other"]
    assert "a gap of" in said["gaps"]["same"] and "overfits, is not known" in said["gaps"]["other"]
    assert said["splits"][0].startswith("Training: the pictures same and n learned from")
    assert any(line.startswith("Other data: other was trained on it") for line in said["splits"])
    table = evaluation.table()
    assert "other !" in table and "! other data: other was trained" in table
    networks = [
        {**one, "name": name}
        for one in truth["networks"]
        if one["name"] == "other"
        for name in ("a", "b")
    ]
    assert sentences.other_data(networks).startswith(
        "Other data: a and b were trained on elsewhere.csv (fingerprint 0123"
    )


def test_a_network_trained_before_the_test_rows_came_is_judged_as_one_of_this_data(
    faces: Dataset,
) -> None:
    def judged(dataset: Dataset, seen: Dataset) -> dict[str, Any]:
        network = trained_on(predicted(dataset, "n", 2), "n", seen.fingerprint)
        network.info["data"]["fingerprints"] = seen.fingerprints
        return evaluate(dataset, [network], num_bootstrap=0).to_dict()

    without = faces.take(~faces.mask("test"))
    for seen in (without, without.take(np.arange(len(without))[::-1])):  # the rows in another order
        truth = judged(faces, seen)
        [network] = truth["networks"]
        assert (network["same_data"], network["same_test"]) == (True, False)
        assert truth["words"]["other_data"] == "" and "used for no choice" in " ".join(
            truth["words"]["verdict"]
        )
        assert (
            "twins of the test pictures judged here may be among what it learned"
            in truth["words"]["leaks"]["n"]
        )
    twin = dataclasses.replace(faces, images=faces.images.copy())
    twin.images[np.flatnonzero(faces.mask("test"))[0]] = faces.images[
        np.flatnonzero(faces.mask("training"))[0]
    ]
    verdict = " ".join(judged(twin, without)["words"]["verdict"])
    assert "Their twins in training were not left out: n: test " in verdict
    assert (
        judged(without, faces)["networks"][0]["same_test"] is None
    )  # nothing is judged that it could know
    assert (
        judged(faces, faces)["words"]["leaks"]["n"]
        == "n: none of its training rows has a twin in validation or test."
    )
    relabelled = without.labels.copy()
    relabelled[0] = (relabelled[0] + 1) % 7
    truth = judged(faces, dataclasses.replace(without, labels=relabelled))
    assert truth["networks"][0]["same_data"] is False and truth["words"]["other_data"]


def test_a_mean_is_of_other_data_if_any_of_its_members_is(faces: Dataset) -> None:
    one, two = predicted(faces, "a", 2), predicted(faces, "b", 1)
    known, other, foreign = (
        trained_on(*of)
        for of in (
            (one, "a", faces.fingerprint),
            (two, "b", "0123456789abcdef"),
            (two, "b", "f" * 16),
        )
    )
    for members, fingerprints in (
        ((known, other), ["0123456789abcdef"]),
        ((other, trained_on(one, "a", "f" * 16)), ["0123456789abcdef", "f" * 16]),
        ((other, foreign), ["0123456789abcdef", "f" * 16]),
    ):
        [mean] = predictions.means([{"": network} for network in members])
        truth = evaluate(faces, [mean], num_bootstrap=0).to_dict()
        assert truth["networks"][0]["same_data"] is False
        assert [d["fingerprint"] for d in truth["networks"][0]["other_data"]] == fingerprints
        for fingerprint in fingerprints:
            assert f"elsewhere.csv (fingerprint {fingerprint})" in truth["words"]["other_data"]
    [mean] = predictions.means([{"": known}, {"": two}])  # of one nothing is known
    assert evaluate(faces, [mean], num_bootstrap=0).to_dict()["networks"][0]["same_data"] is None


def test_what_a_network_began_with_or_was_taught_by_is_told(faces: Dataset) -> None:
    network = trained_on(predicted(faces, "n", 2), "n", faces.fingerprint)
    own = "n: none of its training rows has a twin in validation or test."
    here = {
        "name": "first",
        "digest": "ab",
        "keep_leaks": False,
        "data": {"fingerprint": faces.fingerprint},
    }
    there = {**here, "data": {"fingerprint": "0123456789abcdef", "source": "elsewhere.csv"}}
    for more, said in (
        ({"begun_from": here}, ""),
        (
            {"begun_from": there},
            " It began with first, which was trained on elsewhere.csv: whether that has seen",
        ),
        (
            {"begun_from": {**here, "data": None}},
            " It began with first, of unknown origin: whether that has seen",
        ),
        ({"begun_from": {"name": "MobileNetV2", "digest": None}}, ""),
        (
            {"taught_by": [here, {**here, "keep_leaks": True}]},
            " It was taught by first, which was trained on twins of",
        ),
    ):
        taught = dataclasses.replace(network, info={**network.info, **more})
        leaks = evaluate(faces, [taught], num_bootstrap=0).to_dict()["words"]["leaks"]["n"]
        assert leaks.startswith(own + said) and (said or leaks == own)


def test_alone_and_trained_on_other_data_a_network_proves_little(faces: Dataset) -> None:
    alone = evaluate(
        faces, [trained_on(predicted(faces, "n", 2), "n", "0123456789abcdef")], num_bootstrap=0
    ).to_dict()
    said = alone["words"]
    assert "if it never saw these pictures" in " ".join(said["verdict"])
    assert "used for no choice" not in " ".join(said["verdict"])
    assert not any("memorised" in line for line in (*said["splits"], *said["gaps"].values()))
    own = evaluate(
        faces, [trained_on(predicted(faces, "n", 2), "n", faces.fingerprint)], num_bootstrap=0
    ).to_dict()
    assert own["words"]["other_data"] == "" and "ther data" not in json.dumps(own["words"])


def test_ties_are_said_to_be_ties() -> None:
    data = tiny([0, 1, 0, 1], [1, 1, 1, 1], [1, 2, 3, 4], ("angry", "happy"))
    one, two = (certain({"validation": [0, 1, 0, 0]}, 2, name) for name in ("one", "two"))
    third = certain({"validation": [1, 0, 1, 1]}, 2, "third")
    verdict = evaluate(data, [one, two, third], num_bootstrap=0).to_dict()["words"]["verdict"]
    assert verdict[0].startswith(
        "Of 3 networks, one and two are equally accurate on validation: 75.0 % of 4 faces"
    )
    assert verdict[0].endswith("The best of them, by its loss there, is one.")
    assert "On validation, one and two are right on the same faces, of 4." in verdict


def test_classes_that_tie_are_named_together() -> None:
    data = tiny([0, 1, 2, 3], [1, 1, 1, 1], [1, 2, 3, 4], ("angry", "fear", "happy", "sad"))

    def verdict(*answers: int) -> str:
        network = certain({"validation": list(answers)}, 4)
        return " ".join(evaluate(data, [network], num_bootstrap=0).to_dict()["words"]["verdict"])

    told = verdict(0, 1, 0, 1)
    assert (
        "recognises angry and fear best (F1 0.67 each), and happy and sad worst (F1 0.00 each)."
        in told
    )
    assert "On validation, net recognises all classes alike (F1 1.00)." in verdict(0, 1, 2, 3)
    assert "Always answering 'angry' would be right on 25.0 % of the validation faces." in verdict(
        0, 1, 2, 3
    )
    assert "of the validation faces; net is no better." in verdict(0, 0, 0, 0)


def test_the_interval_is_exact_where_all_resamples_are_equal() -> None:
    data = tiny([0, 1], [1, 1], [1, 2], ("angry", "happy"))
    network = certain({"validation": [0, 1]}, 2)
    said = [
        evaluate(data, [network], num_bootstrap=n).to_dict()["words"]["verdict"][0] for n in (20, 0)
    ]
    assert "100.0 % of 2 faces named as their label says (95 % interval 15.8 to 100.0)." in said[0]
    assert "interval" not in said[1]


def test_the_worst_errors_are_put_in_figures() -> None:
    data = tiny([0, 1, 1, 1], [1] * 4, [1, 2, 3, 4], ("angry", "happy"))
    answers = np.array([[0.9, 0.1], [0.99, 0.01], [0.8, 0.2], [0.3, 0.7]], np.float32)

    def told(rows: np.ndarray) -> str:
        truth = evaluate(
            data, [Predictions("net", {"validation": rows}, {})], num_bootstrap=0
        ).to_dict()
        return str(truth["words"]["worst"]["net"])

    assert told(answers) == (
        "net on validation, all its errors: their labels got 1.0 % to 20.0 % of the probability."
    )
    assert told(np.eye(2, dtype=np.float32)[[0, 1, 1, 1]]) == "net makes no errors on validation."


def test_the_curves_caption_follows_the_recipe() -> None:
    recipe = {
        "augment": True,
        "block_dropout": 0.1,
        "dense_dropout": 0.0,
        "label_smoothing": 0.1,
        "class_weights": "sqrt",
    }
    caption = sentences.curves({"info": {"recipe": recipe}})
    assert "under augmentation, dropout, label smoothing and class weights;" in caption
    plain = {
        **recipe,
        "augment": False,
        "block_dropout": 0,
        "label_smoothing": 0,
        "class_weights": "none",
    }
    assert not any(
        word in sentences.curves({"info": {"recipe": plain}})
        for word in ("augment", "dropout", "smoothing")
    )
    assert "such as augmentation" in sentences.curves({"info": {}})


def test_the_audit_in_sentences(faces: Dataset) -> None:
    images = faces.images.copy()
    images[150] = images[0]  # a validation row that is a training row's twin
    images[5] = 7
    data = dataclasses.replace(voted(faces), images=images)
    told = findings.audit_sentences(audit(data).to_dict())
    assert len(told) == 4 and all(
        line.startswith("Audit: ") and line.endswith(".") for line in told
    )
    assert "nearly equal" in told[0] and told[2] == "Audit: 1 blank picture."
    no_faces = int(np.sum(voted(faces).votes[:, FERPLUS_VOTES.index("not_a_face")] >= 5))  # type: ignore[index]
    assert no_faces > 1
    assert told[3] == f"Audit: {no_faces} pictures without a face, according to the annotators."


def test_sentences_begin_large_and_end_with_a_stop() -> None:
    assert (
        phrasing.sentence("the schedule is done") == "The schedule is done."
        and phrasing.sentence("Done.") == "Done."
    )
    assert phrasing.listed(["a"]) == "a" and phrasing.listed(["a", "b", "c"]) == "a, b and c"
    assert phrasing.plural(1, "pair") == "1 pair" and phrasing.plural(2000, "pair") == "2,000 pairs"
