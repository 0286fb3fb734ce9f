"""Fuzz the readers with atheris: make fuzz SECONDS=60, or python tests/fuzz/fuzz.py weights -runs=1000

Without a name each reader has its turn. Options after the name go to libFuzzer. Coverage guides the bytes through
mer_lib, workflow, yaml, csv and json; libsndfile and safetensors are native code and only seen by what they do. atheris
is no dependency of the project (it has no build for every system): python -m pip install atheris

A finding ends the run with a traceback and leaves the bytes in a file whose name is printed; give that name instead of
an option to see it again.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = os.environ.get("SECONDS", "60")  # a shell's own variable of this name is not exported
CHILD = "MER_FUZZ_FINDINGS"  # where findings go; set for the process that fuzzes


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one reader until the options say so; never returns."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: python -m pip install atheris (nothing else needs it)")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    watched = ["mer_lib", "workflow", "yaml", "csv", "json", "zipfile", "jsonschema"]
    with atheris.instrument_imports(include=watched, enable_loader_override=False):
        from tests.fuzz.readers import READERS
    warnings.simplefilter("ignore")
    logging.disable()
    if name not in READERS:
        sys.exit(f"no reader {name!r}; there are: {', '.join(READERS)}")
    reader, taken = READERS[name], [0, 0]
    with tempfile.TemporaryDirectory(prefix="mer-fuzz-seeds-") as seeds:
        for number, data in enumerate(reader.corpus):
            (Path(seeds) / str(number)).write_bytes(data)
        largest = max(4096, *(2 * len(data) for data in reader.corpus))

        def one(data: bytes) -> None:
            taken[reader(data)] += 1
            if sum(taken) % 1000 == 0:
                print(f"{name}: {taken[1]} taken, {taken[0]} refused as documented", file=sys.stderr)

        given = options or [f"-max_total_time={SECONDS}"]
        replay = [option for option in given if not option.startswith("-")]
        limits = [f"-max_len={largest}", "-timeout=30", "-rss_limit_mb=6000"]
        limits += [f"-artifact_prefix={os.environ[CHILD]}/mer-fuzz-{name}-"]
        atheris.Setup([sys.argv[0], *limits, *given, *([] if replay else [seeds])], one)
        atheris.Fuzz()


def names() -> list[str]:
    """Names of the readers."""
    from tests.fuzz.readers import READERS

    return list(READERS)


def main() -> int:
    """Fuzz the reader that the command line names, or all: libFuzzer ends each process abruptly."""
    sys.path.insert(0, str(ROOT))
    if CHILD in os.environ:
        fuzz(sys.argv[1], sys.argv[2:])
    failed = []
    for arguments in [sys.argv[1:]] if sys.argv[1:] else [[name] for name in names()]:
        with tempfile.TemporaryDirectory(prefix="mer-fuzz-") as scratch:
            environment = os.environ | {CHILD: tempfile.gettempdir(), "TMPDIR": scratch}
            if subprocess.run([sys.executable, __file__, *arguments], env=environment).returncode:
                failed.append(arguments[0])
    print(f"findings in: {', '.join(failed)}" if failed else "no findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
