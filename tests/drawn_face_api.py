"""Files in the form of face-api's expression network, with few channels and numbers drawn at
random.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile

import numpy as np
import pytest

from mien.training import face_api
from mien.training.others_weights import Weights

CHANNELS = (3, 4, 4, 5, 5)


def drawn_files(seed: int = 0) -> dict[str, bytes]:
    """Name in the archive -> content."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {}
    for block in range(4):
        for number in range(4):
            inside = CHANNELS[block + (number > 0)]
            name, outside = f"dense{block}/conv{number}", CHANNELS[block + 1]
            if block == number == 0:
                shapes[f"{name}/filters"] = (3, 3, inside, outside)
            else:
                shapes[f"{name}/depthwise_filter"] = (3, 3, inside, 1)
                shapes[f"{name}/pointwise_filter"] = (1, 1, inside, outside)
            shapes[f"{name}/bias"] = (outside,)
    shapes |= {"fc/weights": (CHANNELS[-1], 7), "fc/bias": (7,)}
    entries, content = [], b""
    for name, shape in shapes.items():
        entry = {"name": name, "shape": list(shape), "dtype": "float32"}
        if name.endswith("bias"):
            content += rng.normal(0, 0.1, shape).astype("<f4").tobytes()
        else:
            entry["quantization"] = {"dtype": "uint8", "scale": 0.005, "min": -0.6}
            content += rng.integers(0, 256, shape).astype(np.uint8).tobytes()
        entries.append(entry)
    manifest = json.dumps([{"weights": entries, "paths": ["face_expression_model.bin"]}])
    return dict(zip(face_api.WEIGHTS.files, (manifest.encode(), content), strict=True))


def archive(files: dict[str, bytes]) -> bytes:
    """A `.tar.gz` of these files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as members:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return made.getvalue()


def checksums(weights: Weights, files: dict[str, bytes], url: str, packed: bytes) -> Weights:
    """The same weights at another address, with the checksums of these files."""
    return dataclasses.replace(
        weights,
        url=url,
        sha256=hashlib.sha256(packed).hexdigest(),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )


def put_in_cache(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Let face-api be a drawn one that lies in the cache of this test; its files."""
    from mien.constants import cache_dir

    files = drawn_files()
    monkeypatch.setattr(
        face_api, "WEIGHTS", checksums(face_api.WEIGHTS, files, "http://127.0.0.1:9/a.tgz", b"")
    )
    folder = cache_dir() / "models" / face_api.NAME
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.rpartition("/")[2]).write_bytes(content)
    return files
