"""Recognise faces on many machines with Ray (https://docs.ray.io).

>>> import mien.ray, ray.data                                       # doctest: +SKIP
>>> pictures = ray.data.read_binary_files("s3://bucket/pictures", include_paths=True)
...                                                                 # doctest: +SKIP
>>> mien.ray.predict(pictures).write_parquet("answers/")            # doctest: +SKIP

Importing this does not import Ray: the process in which a worker recognises does not need it.
"""

from mien.ray.dataset import predict

__all__ = ["predict"]
