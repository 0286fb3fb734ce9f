"""torchaudio on machines where its native library cannot be loaded.

torchaudio 2.11.0 ships binaries that link against CUDA. Beside a CPU build of torch, ``import torchaudio`` raises
``OSError`` (libc10_cuda.so is missing). The transforms that this project uses are pure Python on top of torch and need
none of that library; only when the normal import fails is its loader replaced by one that loads nothing.
"""

from __future__ import annotations

import importlib
import sys
import types


def _import_torchaudio() -> types.ModuleType:
    """Import torchaudio, without its native library where that one does not load."""
    try:
        return importlib.import_module("torchaudio")
    except (OSError, ImportError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torchaudio":
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        loader = types.ModuleType("torchaudio._extension.utils")
        loader._load_lib = lambda name: False  # type: ignore[attr-defined]
        loader._check_cuda_version = lambda: None  # type: ignore[attr-defined]
        loader._init_dll_path = lambda: None  # type: ignore[attr-defined]
        sys.modules["torchaudio._extension.utils"] = loader
        return importlib.import_module("torchaudio")


torchaudio = _import_torchaudio()
