"""TensorFlow's import says nothing, and other native output on the way still arrives."""

import subprocess
import sys


def test_import_is_silent_and_passes_the_rest_on() -> None:
    # A stand-in module on the way: what it writes to file descriptor 2 is not TensorFlow's noise.
    program = (
        "import os, sys, importlib.abc\n"
        "class Speaker(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'tensorflow':\n"
        "            os.write(2, b'a real warning\\n')\n"
        "sys.meta_path.insert(0, Speaker())\n"
        "from mien import runtime\n"
        "runtime.import_tensorflow()\n"
        "assert 'tensorflow' in sys.modules\n"
        "os.write(2, b'after\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == "a real warning\nafter\n"
    assert done.stdout == ""


def test_only_files_closed_again_are_passed_over() -> None:
    program = (
        "from mien.runtime import closed_files_closed_again\n"
        "class Fails:\n"
        "    def __init__(self, error): self.error = error\n"
        "    def __del__(self): raise self.error\n"
        "with closed_files_closed_again():\n"
        "    Fails(ValueError('I/O operation on closed file.'))\n"
        "    Fails(ValueError('another'))\n"
        "Fails(ValueError('I/O operation on closed file.'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("ValueError: another") == 1
    assert done.stderr.count("ValueError: I/O operation on closed file.") == 1
