"""FER+ votes are joined to the right rows or not at all."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from mien.data.readers import load_dataset
from mien.data.votes import majority, vote_shares
from mien.errors import DataError, UsageError
from mien.labels import FERPLUS, FERPLUS_VOTES

HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)
USAGES = ["Training"] * 14 + ["PublicTest"] * 7 + ["PrivateTest"] * 7
PIXELS = " ".join(["9"] * 2304)


def write_csv(folder: Path, usages: list[str] = USAGES) -> Path:
    path = folder / "fer2013.csv"
    rows = [f"{index % 7},{PIXELS},{usage}" for index, usage in enumerate(usages)]
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    return path


def vote_rows(usages: list[str] = USAGES) -> list[str]:
    """Row i has i % 11 votes for sadness, the rest for contempt; every fifth has no name."""
    names = ["" if index % 5 == 0 else f"fer{index:07d}.png" for index in range(len(usages))]
    return [
        f"{usage},{name},0,0,0,{index % 11},0,0,0,{10 - index % 11},0,0"
        for index, (usage, name) in enumerate(zip(usages, names, strict=True))
    ]


def write_votes(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_votes_are_joined_row_by_row_and_column_by_name(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    dataset = load_dataset(path, votes=write_votes(tmp_path / "v.csv", vote_rows()))
    assert (
        dataset.votes is not None
        and dataset.votes.dtype == np.uint8
        and dataset.votes.shape == (28, 10)
    )
    sad, contempt = FERPLUS_VOTES.index("sad"), FERPLUS_VOTES.index("contempt")
    assert dataset.votes[:, sad].tolist() == [index % 11 for index in range(28)]
    assert dataset.votes[:, contempt].tolist() == [10 - index % 11 for index in range(28)]
    assert dataset.votes.sum() == 280
    assert "FER+ votes from v.csv were joined to 28 of 28 rows." in dataset.notes

    turned = [",".join(reversed(row.split(","))) for row in vote_rows()]
    header = ",".join(reversed(HEADER.split(",")))
    again = load_dataset(path, votes=write_votes(tmp_path / "turned.csv", turned, header))
    np.testing.assert_array_equal(again.votes, dataset.votes)


@pytest.mark.parametrize("name", ["ferplus_votes.csv", "fer2013new.csv"])
def test_a_file_beside_the_csv_is_joined_and_said(tmp_path: Path, name: str) -> None:
    path = write_csv(tmp_path)
    assert load_dataset(path).votes is None
    write_votes(tmp_path / name, vote_rows())
    dataset = load_dataset(path)
    assert dataset.votes is not None
    assert any("because it lies beside" in note for note in dataset.notes)


def test_a_file_beside_the_csv_that_does_not_fit_is_said_and_not_joined(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    write_votes(tmp_path / "ferplus_votes.csv", vote_rows()[1:])
    dataset = load_dataset(path)
    assert dataset.votes is None and len(dataset) == 28
    assert sum("was not joined" in note for note in dataset.notes) == 1


def test_a_split_that_only_one_file_has_takes_no_part(tmp_path: Path) -> None:
    votes = write_votes(tmp_path / "v.csv", vote_rows())
    fewer = load_dataset(write_csv(tmp_path, USAGES[:21]), votes=votes)
    assert fewer.votes is not None and fewer.votes.sum() == 210
    votes = write_votes(tmp_path / "v.csv", vote_rows()[:21])
    more = load_dataset(write_csv(tmp_path), votes=votes)
    assert more.votes is not None and more.votes.sum(axis=1).tolist() == [10] * 21 + [0] * 7
    assert "FER+ votes from v.csv were joined to 21 of 28 rows; the others have none." in more.notes


def test_rows_left_out_keep_their_line_of_votes(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    whole = load_dataset(path, votes=write_votes(tmp_path / "v.csv", vote_rows()))
    lines = path.read_text().splitlines()
    lines[4] = "wink" + lines[4][1:]
    lines.insert(10, "")
    path.write_text("\n".join(lines))
    dataset = load_dataset(path, votes=tmp_path / "v.csv", on_error="skip")
    assert len(dataset) == 27 and whole.votes is not None
    np.testing.assert_array_equal(dataset.votes, np.delete(whole.votes, 3, axis=0))


def write_pair(folder: Path, num_training: int = 14, num_test: int = 7) -> Path:
    for name, count in (("train.csv", num_training), ("test.csv", num_test)):
        rows = [f"{index % 7},{PIXELS}" for index in range(count)]
        (folder / name).write_text("\n".join(["emotion,pixels", *rows]) + "\n")
    return folder / "train.csv"


def test_train_and_test_csv_count_their_lines_each(tmp_path: Path) -> None:
    rows = vote_rows()
    votes = write_votes(tmp_path / "v.csv", rows)
    path = write_pair(tmp_path)
    dataset = load_dataset(path, votes=votes)
    assert dataset.votes is not None and len(dataset) == 21
    sad = FERPLUS_VOTES.index("sad")
    wanted = [index % 11 for index in (*range(14), *range(21, 28))]
    assert dataset.votes[:, sad].tolist() == wanted
    # The order of the Usages among each other is another.
    write_votes(votes, rows[21:] + rows[:14])
    np.testing.assert_array_equal(load_dataset(path, votes=votes).votes, dataset.votes)
    # A row left out of either file keeps its line of votes there.
    for name, line in (("train.csv", 4), ("test.csv", 2)):
        lines = (tmp_path / name).read_text().splitlines()
        lines[line] = "wink" + lines[line][1:]
        (tmp_path / name).write_text("\n".join(lines))
    fewer = load_dataset(path, votes=votes, on_error="skip")
    assert fewer.votes is not None
    assert fewer.votes[:, sad].tolist() == [v for n, v in enumerate(wanted) if n not in (3, 15)]
    with pytest.raises(
        DataError,
        match="votes for 14 Training rows, 6 PrivateTest rows; expected 13 Training rows, 6",
    ):
        load_dataset(path, votes=write_votes(votes, rows[22:] + rows[:14]), on_error="skip")


def test_bad_rows_of_a_test_csv_without_labels_take_no_votes(tmp_path: Path) -> None:
    path = write_pair(tmp_path)
    (tmp_path / "test.csv").write_text("\n".join(["pixels", PIXELS, "9 9", PIXELS]) + "\n")
    dataset = load_dataset(
        path, votes=write_votes(tmp_path / "v.csv", vote_rows()), on_error="skip"
    )
    assert dataset.votes is not None and len(dataset) == 16
    assert dataset.votes[:, FERPLUS_VOTES.index("sad")].tolist() == [
        *(index % 11 for index in range(14)),
        0,
        0,
    ]


def test_two_files_with_rows_of_one_usage_are_refused(tmp_path: Path) -> None:
    """Only a zip can hold such."""
    rows = [f"{index % 7},{PIXELS},Training" for index in range(7)]
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for name in ("train.csv", "test.csv"):
            archive.writestr(name, "\n".join(["emotion,pixels,Usage", *rows]))
    with pytest.raises(
        DataError, match="both have rows of one Usage.*Fix: write all rows into one csv"
    ):
        load_dataset(tmp_path / "both.zip", votes=write_votes(tmp_path / "v.csv", vote_rows()[:14]))


BAD = {
    "a row short": (
        vote_rows()[:-1],
        HEADER,
        "votes for 14 Training rows, 7 PublicTest rows, 6 PrivateTest rows",
    ),
    "a row more": ([*vote_rows(), vote_rows()[-1]], HEADER, "8 PrivateTest rows"),
    "other order": (
        [*vote_rows()[14:], *vote_rows()[:14]],
        HEADER,
        "in another order: validation in line 2",
    ),
    "missing column": (
        vote_rows(),
        HEADER.replace("contempt", "scorn"),
        "the columns 'Usage', 'Image name'",
    ),
    "no rows": ([], HEADER, "votes for no rows"),
    "a count of 11": (
        [vote_rows()[0].replace(",10,", ",11,"), *vote_rows()[1:]],
        HEADER,
        "'11' votes for contempt",
    ),
    "a word": (
        [vote_rows()[0].replace(",10,", ",ten,"), *vote_rows()[1:]],
        HEADER,
        "'ten' votes for contempt",
    ),
    "Usage": (["Test" + vote_rows()[0][8:], *vote_rows()[1:]], HEADER, "the Usage 'Test'"),
    "fields": ([vote_rows()[0] + ",1", *vote_rows()[1:]], HEADER, "13 fields"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_file_is_refused(tmp_path: Path, case: str) -> None:
    rows, header, got = BAD[case]
    with pytest.raises(DataError) as caught:
        load_dataset(write_csv(tmp_path), votes=write_votes(tmp_path / "v.csv", rows, header))
    assert got in caught.value.got and caught.value.where == str(tmp_path / "v.csv")


def test_a_missing_empty_or_binary_file_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(path, votes=tmp_path / "gone.csv")
    (tmp_path / "v.csv").write_bytes(b"")
    with pytest.raises(DataError, match="an empty file"):
        load_dataset(path, votes=tmp_path / "v.csv")
    (tmp_path / "v.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not csv in UTF-8"):
        load_dataset(path, votes=tmp_path / "v.csv")


def test_votes_of_shuffled_rows_are_noticed(tmp_path: Path) -> None:
    """Counts and Usages agree, yet the votes contradict the labels."""
    usages = ["Training"] * 1400
    path = write_csv(tmp_path, usages)
    order = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    columns = HEADER.split(",")[2:]

    def rows(shift: int) -> list[str]:
        made = []
        for index in range(1400):
            named = order[(index + shift) % 7]
            made.append(
                "Training,," + ",".join("10" if column == named else "0" for column in columns)
            )
        return made

    assert load_dataset(path, votes=write_votes(tmp_path / "v.csv", rows(0))).votes is not None
    with pytest.raises(DataError, match="only 0.0% of the rows"):
        load_dataset(path, votes=write_votes(tmp_path / "v.csv", rows(1)))


def test_votes_for_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train" / "happy").mkdir(parents=True)
    with pytest.raises(UsageError, match="a folder of pictures"):
        load_dataset(tmp_path, votes=tmp_path / "v.csv")


def test_shares_and_majority_by_ferplus_rules() -> None:
    """Columns: neutral happy surprise sad angry disgust fear contempt unknown not_a_face."""
    votes = np.array(
        [
            [1, 8, 1, 0, 0, 0, 0, 0, 0, 0],  # lone votes do not count
            [5, 5, 0, 0, 0, 0, 0, 0, 0, 0],  # no more than half
            [2, 0, 0, 0, 0, 0, 0, 0, 8, 0],  # unknown wins: no expression does
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],  # nothing is left
            [0, 0, 0, 0, 0, 0, 0, 6, 4, 0],
        ],
        np.uint8,
    )
    assert majority(votes).tolist() == [
        FERPLUS.index("happy"),
        -1,
        -1,
        -1,
        FERPLUS.index("contempt"),
    ]
    shares = vote_shares(votes)
    assert shares.dtype == np.float32 and shares.shape == (5, 8)
    np.testing.assert_allclose(shares.sum(axis=1), [1, 1, 1, 0, 1])
    assert shares[1, FERPLUS.index("neutral")] == shares[1, FERPLUS.index("happy")] == 0.5


def test_a_label_that_votes_cannot_be_for(tmp_path: Path) -> None:
    usages = ["Training"] * 1400
    path = write_csv(tmp_path, usages)
    path.write_text(path.read_text().replace("\n6,", "\nbored,"))
    rows = ["Training,a.png," + ",".join("9" * 10)] * len(usages)
    dataset = load_dataset(path, votes=write_votes(tmp_path / "v.csv", rows))
    assert dataset.votes is not None and "bored" in dataset.label_set
