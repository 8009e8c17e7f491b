"""YuNet's weights: from a path, $MIEN_YUNET, the package, the cache or a checked download."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mien.constants import cache_dir
from mien.errors import DataError, DownloadError

YUNET_FILE = "face_detection_yunet_2026may.onnx"
YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
YUNET_URLS = (
    # OpenCV Zoo itself, at a fixed commit (the address that serves Git LFS content, not pointers).
    f"https://media.githubusercontent.com/media/opencv/opencv_zoo/47534e27c9851bb1128ccc0102f1145e27f23f98/models/face_detection_yunet/{YUNET_FILE}",
    f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{YUNET_FILE}",
    f"https://huggingface.co/pollen-robotics/face_detection_yunet_2026may/resolve/main/{YUNET_FILE}",
)
DOWNLOAD_TIMEOUT_S = 20
# Where `make vendor` puts the weights; a wheel built after it contains them.
PACKAGED = Path(__file__).parents[1] / "serving" / "page" / "vendor" / "yunet" / YUNET_FILE


def yunet_weights(model: Path | None = None) -> Path:
    """Path of YuNet's weights, downloaded into the cache if they are not on this machine.

    Raises:
        DataError: if `model` or $MIEN_YUNET names no file.
        DownloadError: if no mirror has the file.
    """
    return local_weights(model) or _download(_cache_path())


def local_weights(model: Path | None = None) -> Path | None:
    """Path of YuNet's weights on this machine; None if they would have to be downloaded.

    Raises:
        DataError: if `model` or $MIEN_YUNET names no file.
    """
    named = model or os.environ.get("MIEN_YUNET")
    if named:
        path = Path(os.path.expanduser(named))
        if not path.is_file():
            raise bad_weights(
                path,
                "nothing: no such file" if model else "nothing: no such file, named by MIEN_YUNET",
            )
        return path
    for path in (PACKAGED, _cache_path()):
        try:
            if hashlib.sha256(path.read_bytes()).hexdigest() == YUNET_SHA256:
                return path
        except OSError:
            continue  # not downloaded yet
    return None


def _cache_path() -> Path:
    return cache_dir() / "models" / YUNET_FILE


def _download(target: Path) -> Path:
    """Download the weights from the first mirror that has them; returns `target`."""
    reasons = []
    for url in YUNET_URLS:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            reason = fetch(url, YUNET_SHA256, target)
        except OSError as error:
            raise DownloadError(
                f"{target.parent}: got an error while writing ({error.strerror or error}); "
                "expected a folder for YuNet's weights. Fix: free some space, name another folder "
                "in MIEN_CACHE, or name the file in MIEN_YUNET"
            ) from error
        if not reason:
            return target
        reasons.append(f"{_host(url)}: {reason}")
    raise DownloadError(
        f"YuNet, the face detector: got no weights ({'; '.join(dict.fromkeys(reasons))}); expected "
        f"to download 230 KB once. Fix: connect to the internet; or copy {YUNET_URLS[0]} to "
        f"{target}, or name the file in MIEN_YUNET or --detector-model; or install mien with the "
        "extra [mtcnn] (in a checkout: pip install '.[mtcnn]') for MTCNN, which needs no "
        "download; or give --detector none if the pictures are faces already"
    )


def _host(url: str) -> str:
    return url.split("/")[2]


def fetch(url: str, sha256: str, target: Path) -> str:
    """Download a file. It gets its final name only if it is whole and has this checksum.

    Returns:
        Why the download failed; empty if it did not.

    Raises:
        OSError: if it cannot be written.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")  # it writes a line for each download
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S),
        )
    except requests.RequestException as error:  # before OSError, of which it is one
        return _reason(error)
    except ValueError:
        return "a file with another checksum"
    return ""


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "cut off before its end"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__


def bad_weights(path: Path, got: str) -> DataError:
    return DataError(
        path,
        got=got,
        expected=f"YuNet's weights, as in {YUNET_FILE} of OpenCV Zoo",
        fix="name the right file in --detector-model or MIEN_YUNET, or leave both out to let mien "
        "download it",
    )
