"""Download FER2013 from Kaggle, through its own client kagglehub.

There are several copies, tried in this order:

    deadskull7/fer2013   A public data set that holds fer2013.csv as the competition published it:
                         all three splits, every row in its place, so that FER+ votes can be joined.
                         Needs no account.
    the competition      The original. Needs a Kaggle account whose owner has accepted its rules.
    msambare/fer2013     A public folder of pictures. PublicTest and PrivateTest are merged and rows
                         have no numbers, so votes cannot be joined.

kagglehub checks each download against the server's MD5 sum and keeps it in its own cache, so a
second call downloads nothing. Its environment variables (KAGGLEHUB_CACHE, KAGGLE_API_TOKEN, ...)
work as usual.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

from mien.data.readers import find_data
from mien.errors import DownloadError, MissingExtraError

DATASETS = ("deadskull7/fer2013", "msambare/fer2013")
COMPETITION = "challenges-in-representation-learning-facial-expression-recognition-challenge"
_BY_HAND = (
    "or download fer2013.csv in a browser from Kaggle's competition "
    f"{COMPETITION} and put it into the folder data, where mien finds it"
)
_SIGN_IN = (
    "create an API token in the settings of your Kaggle account, put it into the environment "
    "variable KAGGLE_API_TOKEN or the file ~/.kaggle/kaggle.json, and accept the competition's "
    "rules on its page"
)


def get_fer2013(destination: Path | None = None) -> Path:
    """Download FER2013.

    Args:
        destination: Folder to copy it into, created if it does not exist; None leaves it in
            kagglehub's cache. If FER2013 is already there, nothing is downloaded.

    Returns:
        Path of the csv file or folder, for `load_dataset`.

    Raises:
        MissingExtraError: if kagglehub is not installed.
        DownloadError: without network or credentials, for an incomplete download or a write error.
    """
    if destination is not None:
        existing = find_data({}, [destination])
        if existing is not None:
            return existing
    folder = _download()
    data = find_data({}, [folder])
    if data is None:
        raise DownloadError(
            f"kagglehub: got a download without FER2013 in {folder}; expected fer2013.csv or "
            f"train/ and test/. Fix: remove that folder and try again, {_BY_HAND}"
        )
    return data if destination is None else _copy(data, destination)


def _download() -> Path:
    """Folder of the first of Kaggle's copies that can be downloaded."""
    # kagglehub prints its progress to standard output, which belongs to results.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            import kagglehub
            from kagglehub import exceptions
        except ImportError as error:
            raise MissingExtraError("kagglehub", "train") from error
        kaggle_errors = (
            OSError,  # what `requests` raises is an OSError too
            ValueError,
            zipfile.BadZipFile,
            tarfile.TarError,
            exceptions.BackendError,
            exceptions.CredentialError,
            exceptions.DataCorruptionError,
            exceptions.KaggleEnvironmentError,
            exceptions.NotFoundError,
            exceptions.UnauthenticatedError,
        )
        reasons = []
        for handle in (DATASETS[0], COMPETITION, DATASETS[1]):
            try:
                if handle == COMPETITION:
                    return Path(kagglehub.competition_download(handle))
                return Path(kagglehub.dataset_download(handle))
            except kaggle_errors as error:
                if _no_network(error):
                    raise DownloadError(
                        f"kagglehub: got no answer from Kaggle ({type(error).__name__}); expected "
                        "a network connection. Fix: check the connection and proxy and try again, "
                        f"{_BY_HAND}"
                    ) from error
                if (
                    isinstance(error, OSError)
                    and error.errno is not None
                    and error.filename is not None
                ):
                    raise DownloadError(
                        f"{error.filename}: got an error while writing ({error.strerror}); "
                        "expected a folder with 500 MB of space. Fix: free some space, or name "
                        "another folder in KAGGLEHUB_CACHE"
                    ) from error
                reasons.append(f"{handle}: {_in_short(error)}")
    raise DownloadError(
        f"kagglehub: got an error for each of Kaggle's copies ({'; '.join(reasons)}); expected one "
        f"to be downloaded. Fix: {_SIGN_IN}, {_BY_HAND}"
    )


def _no_network(error: Exception) -> bool:
    import requests

    return isinstance(error, (requests.ConnectionError, requests.Timeout))


def _in_short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _copy(source: Path, destination: Path) -> Path:
    """Copy under a temporary name, then rename, so that the final name is never a partial copy."""
    temporary = destination / f".new-{os.getpid()}-{source.name}"
    try:
        destination.mkdir(parents=True, exist_ok=True)
        final = destination / source.name
        if source.is_dir():
            shutil.copytree(source, temporary)
        else:
            shutil.copyfile(source, temporary)
        os.replace(temporary, final)
        if source.name.lower().startswith("train.csv"):
            for test in source.parent.glob("test.csv*"):
                shutil.copyfile(test, destination / test.name)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DownloadError(
            f"{destination}: got an error while writing ({error.strerror or error}); expected a "
            f"folder to write {source.name} to. Fix: name another folder, or free some space"
        ) from error
    return final
