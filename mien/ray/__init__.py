"""Many machines: Ray (https://docs.ray.io) runs the work, mien is the step that answers.

>>> import mien.ray, ray.data                                       # doctest: +SKIP
>>> pictures = ray.data.read_binary_files("s3://bucket/pictures", include_paths=True)
...                                                                 # doctest: +SKIP
>>> mien.ray.predict(pictures).write_parquet("answers/")            # doctest: +SKIP

Importing this imports no Ray: the process in which a worker recognises has no use for it.
"""

from mien.ray.dataset import predict

__all__ = ["predict"]
