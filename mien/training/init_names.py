"""The names that `Recipe.init` may have besides those of bundles and runs."""

from __future__ import annotations

from pathlib import Path

from mien.bundle import SHIPPED
from mien.errors import UsageError, in_short, meant
from mien.training.recipe import BACKBONES

OWN = ("mien", SHIPPED)  # the network in the package
DLIB = "dlib"
IMAGENET = "imagenet"


def check(init: str) -> None:
    """Refuse a single word that is neither a name nor the path of something.

    Raises:
        UsageError: naming what is there.
    """
    if init.partition(":")[0] == IMAGENET:
        imagenet(init)
    elif init not in (*OWN, DLIB) and Path(init).name == init and not Path(init).exists():
        words = (OWN[0], DLIB, *(f"{IMAGENET}:{name}" for name in BACKBONES))
        raise UsageError(
            f"init: got {in_short(repr(init))}, which does not exist; expected a bundle, a run "
            f"folder, or one of {', '.join(words)}. Fix: "
            + meant(init, words, "check the spelling")
        )


def imagenet(init: str) -> tuple[str, bool]:
    """NAME of imagenet:NAME, and whether its weights are random ones.

    Raises:
        UsageError: for another name, or another word behind it.
    """
    name, colon, how = init.removeprefix(IMAGENET).removeprefix(":").partition(":")
    if name not in BACKBONES or (colon and how != "random"):
        fix = f"use one of the names {', '.join(BACKBONES)}"
        raise UsageError(
            f"init: got {in_short(repr(init))}; expected imagenet:NAME or imagenet:NAME:random. "
            "Fix: " + (fix if name in BACKBONES else meant(name, BACKBONES, fix))
        )
    return name, bool(colon)
