"""How long reading the full FER2013 csv takes, and how much memory, beside two common ways of doing
it.

    python benchmarks/read_csv.py [CSV] [--json]

Makes a csv of FER2013's full size (35,887 rows, about 300 MB) in a temporary folder, from the rows
of CSV (any form that mien reads; rows are repeated as PrivateTest) or from drawn faces. Each reader
runs in a process of its own: seconds from the call to the arrays, and the peak of resident memory
of the whole process. Ratios are what counts: the readers run one after the other on the same
machine. On a busy one the ratio of processor time is the steadier.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import harness

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"Training": 28_709, "PublicTest": 3_589, "PrivateTest": 3_589}

NAIVE = """
import numpy as np, pandas as pd
table = pd.read_csv(path)
images = np.stack([np.array(s.split(), "float32") for s in table["pixels"]])
"""
FROMSTRING = """
import numpy as np, pandas as pd
table = pd.read_csv(path)
images = np.stack([np.fromstring(s, np.uint8, sep=" ") for s in table["pixels"]])
"""
MIEN = """
dataset = load_dataset(path)
images = dataset.images
"""
FRAME = """
import json, resource, sys, time
{imports}
path = sys.argv[1]
began, worked = time.perf_counter(), time.process_time()
{body}
taken, worked = time.perf_counter() - began, time.process_time() - worked
total = int(images.sum(dtype="float64"))
unit = 1024 if sys.platform != "darwin" else 1024 * 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
facts = {{"rows": len(images), "sum": total, "seconds": taken, "cpu_s": worked, "peak_mb": peak}}
print(json.dumps(facts))
"""
READERS = (
    ("naive", "split and float32 (pandas)", "import numpy, pandas", NAIVE),
    ("fromstring", "np.fromstring by row (pandas)", "import numpy, pandas", FROMSTRING),
    ("mien", "mien", "from mien.data.readers import load_dataset", MIEN),
)


def make_csv(source: Path | None, path: Path) -> None:
    """Write 35,887 rows in FER2013's own form."""
    import numpy as np

    from mien.data.convert import convert
    from mien.data.dataset import Dataset
    from mien.data.readers import load_dataset
    from mien.data.synthetic import drawn_dataset

    faces = drawn_dataset(2100, 350, 350) if source is None else load_dataset(source, cache=False)
    faces = faces.take(faces.labels >= 0)
    rows, splits = [], []
    for index, (usage, count) in enumerate(SIZES.items()):
        own = np.flatnonzero(faces.splits == min(index, int(faces.splits.max())))
        if usage == "PrivateTest" and len(own) < count:
            own = np.flatnonzero(faces.splits == 1)
        rows.append(np.resize(own, count))
        splits.append(np.full(count, index, np.uint8))
    chosen = np.concatenate(rows)
    convert(
        Dataset(
            faces.images[chosen],
            faces.labels[chosen],
            np.concatenate(splits),
            np.arange(len(chosen)),
            faces.label_set,
            "benchmark",
        ),
        path,
    )


def measure(imports: str, body: str, path: Path, environ: dict[str, str]) -> dict[str, float]:
    code = FRAME.format(imports=imports, body=body)
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument(
        "csv", nargs="?", type=Path, help="rows to repeat; drawn faces when left out"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fer2013.csv"
        print("making a csv of full size ...", file=sys.stderr)
        make_csv(args.csv, path)
        size_mb = path.stat().st_size / 1e6
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environ = {**os.environ, "PYTHONPATH": paths, "MIEN_CACHE": str(Path(folder) / "cache")}
        results = {}
        for name, title, imports, body in READERS:
            print(f"reading: {title} ...", file=sys.stderr)
            results[name] = measure(imports, body, path, environ)
    rows, sums = ({result[key] for result in results.values()} for key in ("rows", "sum"))
    if rows != {sum(SIZES.values())} or len(sums) != 1:
        raise SystemExit(f"the readers disagree: {results}")
    for result in results.values():
        result["times_naive"] = results["naive"]["seconds"] / result["seconds"]
        result["times_naive_cpu"] = results["naive"]["cpu_s"] / result["cpu_s"]
    if args.json:
        print(json.dumps({"csv_mb": size_mb, "readers": results}))
        return
    print(f"{sum(SIZES.values()):,} rows, {size_mb:,.0f} MB, {os.cpu_count()} processors")
    print(
        f"{'reader':<32}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}"
        f"{'times as fast':>15}{'by CPU time':>13}"
    )
    for name, title, _, _ in READERS:
        result = results[name]
        print(
            f"{title:<32}{result['seconds']:>9.2f}{result['cpu_s']:>8.2f}{result['peak_mb']:>9.0f}"
            f"{result['times_naive']:>15.1f}{result['times_naive_cpu']:>13.1f}"
        )


if __name__ == "__main__":
    main()
