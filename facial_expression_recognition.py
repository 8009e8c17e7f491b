"""The whole job of the report that mien began as: `python facial_expression_recognition.py [DATA]`.

The same as `mien run [DATA]`: read FER2013, audit it, train three networks, evaluate them, write
the report.
"""

import sys

from mien.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "run")
    main()
