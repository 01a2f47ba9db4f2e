"""Kustomize: the machine's kustomize or kubectl, otherwise the library that a wheel carries, fetched once.

The wheel declares a newer Python than ours, and only its Python part needs one: like those of PostgreSQL, it is
unpacked beside the virtual environment. The library runs in a process of its own; Helm's is loaded in ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dataops.dev import programs
from tests.deploy.charts import Object, objects

REQUIREMENTS = Path(__file__).with_name("requirements.txt")

RUN = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.pykustomize_last_error.restype = ctypes.c_char_p
built = ctypes.c_char_p()
if library.pykustomize_build(sys.argv[2].encode(), b"{}", ctypes.byref(built)):
    sys.exit(library.pykustomize_last_error().decode())
sys.stdout.buffer.write(built.value)
"""


def build(folder: Path) -> list[Object]:
    """What `kubectl apply -k FOLDER` would send."""
    ended = subprocess.run([*command(), str(folder)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return list(objects(ended.stdout))


def command() -> list[str]:
    if not os.environ.get("DATAOPS_TEST_KUSTOMIZE_WHEEL"):
        if shutil.which("kustomize"):
            return ["kustomize", "build"]
        if shutil.which("kubectl"):
            return ["kubectl", "kustomize"]
    return [sys.executable, "-c", RUN, str(library())]


def library() -> Path:
    """For Linux on x86-64; elsewhere: install kustomize."""
    found = programs.servers_folder() / "kustomize" / "libpykustomize.so"
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=found.parent) as scratch:
            pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps"]
            pip += ["--require-hashes", "--only-binary=:all:", "--ignore-requires-python"]
            subprocess.run([*pip, "--dest", scratch, "--requirement", REQUIREMENTS], check=True)
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
                wheel.extract("pykustomize/_lib/linux-amd64/libpykustomize.so", scratch)
            Path(scratch, "pykustomize/_lib/linux-amd64/libpykustomize.so").rename(found)
    return found
