"""Whole trainings by the recipe `champion` and changes of it, many at once on one NVIDIA GPU, in
PyTorch.

    python benchmarks/on_gpu.py fer2013.csv benchmarks/on_gpu.json

The second file holds fields of a recipe that are `common` to all runs, and `rounds`: in each,
fields by the name of the run. The runs of a round are trained together, each from random weights to
the end of its schedule, and judged by their last averages on PublicTest, in one view and in 14;
`teachers` are names of runs of earlier rounds.

This is mien's training step (`mien.training.steps`, `augment`, `targets`, `rates`) written once
more, so that a question to which two CPU cores answer in two hours is one of minutes; networks that
mien gives away are trained by `mien train`. It also proves that step: two programs, one figure
(docs/log.md). What it does otherwise: random numbers, the last faces of an epoch that fill no batch
are left out, and moving statistics are not corrected for their start. For recipes with SGD and two
heads.

Steps are recorded as CUDA graphs and the runs take turns, each in its own stream: alone a step of
128 faces leaves much of a large GPU idle. Needs torch, which is no dependency of mien; without a
GPU it runs too, slowly.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    raise SystemExit("got no PyTorch; expected one. Fix: pip install torch") from None

from mien.bundle.tta import NUM_VIEWS, views
from mien.constants import FACE_SIDE
from mien.data.dataset import Dataset, leaked
from mien.data.readers import load_dataset
from mien.data.votes import majority
from mien.evaluation import metrics
from mien.training.augment import BOX, BOX_GRAY, BRIGHTNESS, CONTRAST
from mien.training.calibration import cross_fitted
from mien.training.models import NORM_MOMENTUM
from mien.training.recipe import Recipe
from mien.training.recipes import recipe
from mien.training.targets import make_targets

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
EPSILON = 1e-3  # of Keras' batch norm
EAGER = 4  # steps before one is recorded: cuDNN tries its algorithms, memory is taken
UNKNOWN = (
    "dense",
    "corruption",
    "sam_radius",
    "init",
)  # fields of recipes that are not written here
AT_ONCE = 600  # faces judged in one call

Tensors = dict[str, torch.Tensor]
Known = tuple[Recipe, Tensors]  # a trained network: its recipe and averaged weights


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("runs", type=Path)
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = GPU
    dataset = load_dataset(options.data)
    training, validation = (
        dataset.take(~leaked(dataset)).part("training"),
        dataset.part("validation"),
    )
    asked = json.loads(options.runs.read_text(encoding="utf-8"))
    print(
        f"{torch.cuda.get_device_name() if GPU else 'no GPU'}, torch {torch.__version__}",
        flush=True,
    )
    known: dict[str, Known] = {}
    said: dict[str, np.ndarray] = {}
    for wanted in asked["rounds"]:
        runs = dict[str, Training]()
        for name, fields in wanted.items():
            teachers = [known[teacher] for teacher in fields.pop("teachers", [])]
            runs[name] = Training(
                recipe("champion", **asked["common"] | fields), training, teachers
            )
        began = time.perf_counter()
        live = list(runs.values())
        while live:
            live = [run for run in live if run.step()]
        known |= {name: (run.recipe, run.finished()) for name, run in runs.items()}
        seconds = time.perf_counter() - began
        seen = sum(run.num_steps * run.recipe.batch_size for run in runs.values())
        print(f"{len(runs)} runs in {seconds:.0f} s, {seen / seconds:.0f} faces/s", flush=True)
        for name in runs:
            said[name] = logits(known[name], validation)
            print(f"{name:30} {words(said[name], validation)}", flush=True)
    print(f"{'mean of all':30} {words(np.mean(list(said.values()), axis=0), validation)}")


class Training:
    """One run: its weights, and the step that changes them."""

    def __init__(self, recipe: Recipe, training: Dataset, teachers: list[Known]) -> None:
        unknown = [name for name in UNKNOWN if getattr(recipe, name)]
        if unknown or recipe.optimizer != "sgd" or not recipe.votes_weight:
            raise SystemExit(
                f"expected a recipe with SGD and two heads, without {', '.join(UNKNOWN)}; got "
                f"{recipe}"
            )
        self.recipe, self.teachers = recipe, teachers
        self.faces = torch.from_numpy(training.images[..., 0].copy()).to(
            DEVICE
        )  # uint8 (n, 48, 48)
        self.random = torch.Generator(device=DEVICE).manual_seed(recipe.seed)
        self.weights, self.statistics = begun(recipe, self.random)
        for weight in self.weights.values():
            weight.requires_grad_(True)
        self.average = {
            name: weight.detach().clone()
            for name, weight in (self.weights | self.statistics).items()
        }
        self.speeds = [torch.zeros_like(weight) for weight in self.weights.values()]
        targets = make_targets(training, recipe)
        self.labels = torch.from_numpy(targets.labels).to(DEVICE)
        self.label_weights = torch.from_numpy(targets.weights).to(DEVICE)
        self.shares = torch.from_numpy(targets.shares).to(DEVICE)
        self.share_weights = torch.from_numpy(targets.share_weights).to(DEVICE)
        n, batch = len(training), recipe.batch_size
        self.an_epoch = n // batch
        self.num_steps = self.an_epoch * recipe.max_epochs
        orders = [
            np.random.default_rng([recipe.seed, epoch]).permutation(n)[: self.an_epoch * batch]
            for epoch in range(1, recipe.max_epochs + 1)
        ]
        self.rows = torch.from_numpy(np.concatenate(orders).reshape(-1, batch).astype(np.int32)).to(
            DEVICE
        )
        self.rates = torch.from_numpy(rates(recipe, self.an_epoch)).to(DEVICE)
        self.done = torch.zeros(
            1, dtype=torch.int64, device=DEVICE
        )  # read by the graph, which knows no Python
        self.num_done, self.kind, self.eager = 0, (0, False), 0
        self.stream = torch.cuda.Stream() if GPU else None
        self.graph: Any = None

    def step(self) -> bool:
        """Queue one step; whether there are more."""
        epoch = 1 + self.num_done // self.an_epoch
        kind = self.recipe.side(epoch), self.recipe.mixes(epoch)
        if kind != self.kind:
            self.kind, self.eager, self.graph = kind, EAGER, None
        if not GPU:
            self._step(*kind)
        elif self.graph is not None:
            with torch.cuda.stream(self.stream):
                self.graph.replay()
        else:
            torch.cuda.synchronize()  # nothing else may run while a step is recorded
            with torch.cuda.stream(self.stream):
                self._step(*kind)
            torch.cuda.synchronize()
            self.eager -= 1
            if not self.eager:
                self.graph = torch.cuda.CUDAGraph()
                self.graph.register_generator_state(self.random)
                with torch.cuda.graph(
                    self.graph, stream=self.stream, capture_error_mode="thread_local"
                ):
                    self._step(*kind)
        self.num_done += 1
        if GPU and self.num_done % 64 == 0:
            self.stream.synchronize()  # so that no run's queue grows without end
        return self.num_done < self.num_steps

    def finished(self) -> Tensors:
        if GPU:
            torch.cuda.synchronize()
        self.graph = None
        return self.average

    def _step(self, side: int, mixing: bool) -> None:
        recipe, draw = self.recipe, self._draw
        index = self.rows.index_select(0, self.done)[0].long()
        faces = changed(self.faces.index_select(0, index)[:, None].float(), draw, recipe, side)
        wanted = [
            (self.labels.index_select(0, index), self.label_weights.index_select(0, index)),
            (self.shares.index_select(0, index), self.share_weights.index_select(0, index)),
        ]
        if mixing:
            faces, own = mixed(faces, draw, recipe, side)
            wanted = [both(shares, weights, own) for shares, weights in wanted]
        if self.teachers:
            with torch.no_grad():
                said = [answers(*teacher, faces) for teacher in self.teachers]
            told = [
                torch.stack([F.softmax(logits[head], 1) for logits in said]).mean(0)
                for head in (0, 1)
            ]
            wanted = [
                taught(*one, by, recipe.teacher_weight)
                for one, by in zip(wanted, told, strict=True)
            ]
        faces = spoiled(faces, draw, recipe, side)
        logits = answers(recipe, self.weights | self.statistics, faces, draw)
        losses = [
            weights * F.cross_entropy(a, shares, reduction="none")
            for a, (shares, weights) in zip(logits, wanted, strict=True)
        ]
        loss = (losses[0] + recipe.votes_weight * losses[1]).mean()
        weights = list(self.weights.values())
        slopes = list(torch.autograd.grad(loss, weights))
        with torch.no_grad():
            kernels = [name.startswith("kernel") for name in self.weights]
            torch._foreach_add_(
                [slope for slope, is_kernel in zip(slopes, kernels, strict=True) if is_kernel],
                [weight for weight, is_kernel in zip(weights, kernels, strict=True) if is_kernel],
                alpha=recipe.weight_decay,
            )
            moves = torch._foreach_mul(slopes, self.rates.index_select(0, self.done)[0])
            torch._foreach_mul_(self.speeds, 0.9)  # Nesterov's momentum, as Keras' SGD has it
            torch._foreach_sub_(self.speeds, moves)
            torch._foreach_add_(weights, self.speeds, alpha=0.9)
            torch._foreach_sub_(weights, moves)
            self.done += 1
            done = self.done[0].float()
            follows = 1 - torch.minimum(
                torch.full_like(done, recipe.average_decay),
                (1 + done) / (1 + 1 / recipe.average_over + done),
            )
            averages = list(self.average.values())
            behind = torch._foreach_sub([*weights, *self.statistics.values()], averages)
            torch._foreach_mul_(behind, follows)
            torch._foreach_add_(averages, behind)

    def _draw(self, *shape: int) -> torch.Tensor:
        """Evenly from 0 to 1."""
        return torch.rand(*shape, generator=self.random, device=DEVICE)


def begun(recipe: Recipe, random: torch.Generator) -> tuple[Tensors, Tensors]:
    """Random weights, He's for convolutions and Glorot's for the heads; statistics of the batch
    norms.
    """
    weights, statistics = Tensors(), Tensors()
    given = 1
    for _, name, width, _ in convolutions(recipe):
        spread = (
            math.sqrt(2 / (9 * given)) / 0.87962566103423978
        )  # of a normal distribution cut off at two of it
        kernel = torch.empty(width, given, 3, 3, device=DEVICE)
        torch.nn.init.trunc_normal_(kernel, 0, spread, -2 * spread, 2 * spread, generator=random)
        weights[f"kernel {name}"] = kernel.to(memory_format=torch.channels_last)
        weights[f"scale {name}"] = torch.ones(width, device=DEVICE)
        weights[f"shift {name}"] = torch.zeros(width, device=DEVICE)
        statistics[f"mean {name}"] = torch.zeros(width, device=DEVICE)
        statistics[f"variance {name}"] = torch.ones(width, device=DEVICE)
        given = width
    for head, num in (("fer2013", 7), ("votes", 8)):
        spread = math.sqrt(6 / (given + num))
        weights[f"kernel {head}"] = (
            torch.rand(num, given, generator=random, device=DEVICE) * 2 - 1
        ) * spread
        weights[f"bias {head}"] = torch.zeros(num, device=DEVICE)
    return weights, statistics


def convolutions(recipe: Recipe) -> list[tuple[int, str, int, bool]]:
    """Block, name, filters, and whether it ends its block, of each convolution."""
    return [
        (b, f"{b}_{c}", width, c == len(filters) - 1)
        for b, filters in enumerate(recipe.blocks)
        for c, width in enumerate(filters)
    ]


def answers(
    recipe: Recipe, weights: Tensors, faces: torch.Tensor, draw: Any = None
) -> list[torch.Tensor]:
    """Logits (N, 7) and (N, 8) of faces (N, 1, side, side), 0..255; with `draw` as in training."""
    x = ((faces - 128) / 64).bfloat16().contiguous(memory_format=torch.channels_last)
    for b, name, width, ends in convolutions(recipe):
        given, pools = x, ends and b < len(recipe.blocks) - 1
        added = recipe.residual and given.shape[1] == width
        x = F.conv2d(x, weights[f"kernel {name}"].bfloat16(), padding=1)
        if pools and not added:
            x = F.max_pool2d(x, 2)
        mean, variance = weights[f"mean {name}"], weights[f"variance {name}"]
        scale, shift = weights[f"scale {name}"], weights[f"shift {name}"]
        x = F.relu(
            F.batch_norm(
                x, mean, variance, scale, shift, draw is not None, 1 - NORM_MOMENTUM, EPSILON
            )
        )
        if added:
            x = given + x
            x = F.max_pool2d(x, 2) if pools else x
        if draw is not None and recipe.block_dropout and ends and b:
            x = x * (draw(*x.shape) >= recipe.block_dropout) / (1 - recipe.block_dropout)
    features = x.float().mean((2, 3))
    if draw is not None:
        kept = 1 - recipe.dense_dropout
        features = features * (draw(*features.shape) < kept) / kept
    return [
        F.linear(features, weights[f"kernel {head}"], weights[f"bias {head}"])
        for head in ("fer2013", "votes")
    ]


def affine(
    faces: torch.Tensor,
    turn: torch.Tensor,
    zoom: torch.Tensor,
    flip: torch.Tensor,
    move: torch.Tensor,
    side: int,
) -> torch.Tensor:
    """`mien.training.augment._affine`: faces (N, 1, 48, 48) -> (N, 1, side, side); the others (N,),
    move (2, N).
    """
    places = torch.arange(side, device=DEVICE, dtype=torch.float32) - (side - 1) / 2
    x, y = places[None, None, :], places[None, :, None]
    a, b = (f(turn) / zoom * FACE_SIDE / side for f in (torch.cos, torch.sin))
    a, b, flip, (right, down) = (
        a[:, None, None],
        b[:, None, None],
        flip[:, None, None],
        move[..., None, None],
    )
    at = torch.stack(
        [a * flip * x - b * y + right, b * flip * x + a * y + down], -1
    )  # from the middle
    return F.grid_sample(
        faces, at * 2 / FACE_SIDE, mode="bilinear", padding_mode="border", align_corners=False
    )


def changed(faces: torch.Tensor, draw: Any, recipe: Recipe, side: int) -> torch.Tensor:
    """`mien.training.augment.augment`."""
    r = draw(7, len(faces)) * 2 - 1
    smallest, largest = recipe.zoom
    zoom = torch.exp(torch.where(r[1] > 0, r[1] * math.log(largest), r[1] * -math.log(smallest)))
    flip = (r[2] > 0).float() * 2 - 1
    faces = affine(
        faces, r[0] * math.radians(recipe.turn), zoom, flip, r[3:5] * recipe.shift * FACE_SIDE, side
    )
    mean = faces.mean((1, 2, 3), keepdim=True)
    contrast, bright = r[5:7, :, None, None, None] * recipe.light
    faces = (faces - mean) * torch.exp(contrast * CONTRAST) + mean + bright * BRIGHTNESS
    return faces.clamp(0, 255)


def mixed(
    faces: torch.Tensor, draw: Any, recipe: Recipe, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`mien.training.augment.mix`."""
    which, other, down, right = draw(4, len(faces))
    others, other = faces.flip(0), other / 2
    cut = which < recipe.cutmix
    share = other * (~cut & (which < recipe.cutmix + recipe.mixup))
    length = torch.round(torch.sqrt(other) * side)
    rows, columns = (
        between(torch.floor(start * (side - length + 1)), length, side) for start in (down, right)
    )
    box = (rows[:, :, None] & columns[:, None, :] & cut[:, None, None])[:, None]
    by = share[:, None, None, None]
    return torch.where(box, others, (1 - by) * faces + by * others), 1 - torch.where(
        cut, (length / side) ** 2, share
    )


def between(start: torch.Tensor, length: torch.Tensor, side: int) -> torch.Tensor:
    """bool (N, side): places from `start` (N,) on, `length` (N,) of them."""
    places = torch.arange(side, device=DEVICE, dtype=torch.float32)
    return (places >= start[:, None]) & (places < (start + length)[:, None])


def both(
    shares: torch.Tensor, weights: torch.Tensor, own: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`mien.training.targets.mixed`."""
    mine, theirs = own * weights, (1 - own) * weights.flip(0)
    total = mine + theirs
    return (mine[:, None] * shares + theirs[:, None] * shares.flip(0)) / total.clamp_min(1e-9)[
        :, None
    ], total


def taught(
    shares: torch.Tensor, weights: torch.Tensor, told: torch.Tensor, by: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`mien.training.targets.distilled`."""
    known = weights > 0
    shares = torch.where(known[:, None], (1 - by) * shares + by * told, told)
    return shares, torch.where(known, weights, torch.full_like(weights, by))


def spoiled(faces: torch.Tensor, draw: Any, recipe: Recipe, side: int) -> torch.Tensor:
    """`mien.training.augment.corrupt`, less `corruption`."""
    r = draw(6, len(faces))
    least, most = BOX
    height, width = (least + (most - least) * r[:2]) * side
    rows, columns = (
        between(r[2] * side - height / 2, height, side),
        between(r[3] * side - width / 2, width, side),
    )
    box = (rows[:, :, None] & columns[:, None, :] & (r[4] < recipe.erase)[:, None, None])[:, None]
    gray = faces.mean((1, 2, 3), keepdim=True) + (r[5] * 2 - 1)[:, None, None, None] * BOX_GRAY
    return torch.where(box, gray, faces)


def rates(recipe: Recipe, an_epoch: int) -> np.ndarray:
    """float32 (steps,): `mien.training.optimizers`."""
    step = np.arange(an_epoch * recipe.max_epochs)
    warm = recipe.warmup_epochs * an_epoch
    falls = min(recipe.fall_epochs or recipe.max_epochs, recipe.max_epochs) * an_epoch - warm
    cosine = (1 + np.cos(np.pi * np.clip((step - warm) / max(1, falls), 0, 1))) / 2
    rising = 0.01 + 0.99 * step / max(1, warm)
    share = np.where(step < warm, rising, np.maximum(cosine, recipe.last_rate))
    return np.asarray(recipe.learning_rate * share, np.float32)


@torch.no_grad()
def logits(network: Known, validation: Dataset) -> np.ndarray:
    """float32 (2, n, 15): of both heads, in one view and the mean of 14."""
    seen = []
    for first in range(0, len(validation), AT_ONCE):
        faces = views(validation.images[first : first + AT_ONCE])
        pixels = torch.from_numpy(faces.reshape(-1, 1, FACE_SIDE, FACE_SIDE)).to(DEVICE)
        said = torch.cat([torch.cat(answers(*network, part), 1) for part in pixels.split(AT_ONCE)])
        seen.append(said.view(NUM_VIEWS, -1, said.shape[1]).float().cpu().numpy())
    every = np.concatenate(seen, axis=1)  # (14, n, 15)
    return np.stack([every[0], every.mean(axis=0)])


def words(answer: np.ndarray, validation: Dataset) -> str:
    """Accuracy, calibrated loss and the vote head, in one view / 14."""
    labels, winner = validation.labels, majority(validation.votes)
    told = [cross_fitted(labels, one[:, :7]) for one in answer]
    accuracy = "/".join(f"{np.mean(one.argmax(axis=1) == labels):.2%}" for one in told)
    loss = "/".join(f"{metrics.row_losses(labels, one).mean():.4f}" for one in told)
    votes = "/".join(
        f"{np.mean((one[:, 7:].argmax(axis=1) == winner)[winner >= 0]):.2%}" for one in answer
    )
    return f"{accuracy}, loss {loss}, votes {votes}"


if __name__ == "__main__":
    main()
