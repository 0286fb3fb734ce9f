"""Keep the network of one run in half precision, small enough to be committed: figures/<study>/weights/<system>.

    python workflow/kept_weights.py soundtracks A2E 21

Matrices and convolutions are stored as float16, all else as it is; networks compute in float32 as before. So this is
another network by a rounding: run.json says so, with the digest of the original, and its clean figures are those of
what is kept. `kept_numbers.py restore` puts it in data/runs/<study>/<system>/seed-<n>, a finished run that can be
attacked and explained.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mer_lib.metrics import mean_absolute_error, mean_correlation
from mer_lib.models import predict
from mer_lib.places import atomic_write, figures, prepared_folder, run_folder
from mer_lib.prepared import load_prepared
from mer_lib.runs import Run, RunError, digests_of, load_run, load_weights, read_info, weights_digest


def keep_weights(study: str, system: str, seed: int) -> Run:
    """Write the run in half precision and read it back.

    Raises
    ------
    RunError, FileNotFoundError
        If there is no such finished run here, it is itself such a copy, or its prepared corpus is not here.
    """
    run = load_run(run_folder(study, system, seed))
    if "kept_in_half_precision" in run.info:
        raise RunError(f"{run.folder}: is the kept network itself, restored; there is nothing more exact to keep")
    prepared = load_prepared(prepared_folder(run.info["prepared"]))
    source, target = run.folder / "weights.safetensors", figures() / study / "weights" / system
    with safe_open(source, framework="pt") as file:
        about = file.metadata()
    kept = {name: value.half() if value.ndim > 1 else value for name, value in load_file(source).items()}
    atomic_write(target / "weights.safetensors", lambda part: save_file(kept, part, metadata=about))
    model = load_weights(target / "weights.safetensors", system, run.info["width"])
    test = prepared.split(run.info["split"])["test"]
    before, after = (predict(network, prepared.spectrograms[test]).emotions for network in (run.model, model))
    info = run.info | {
        "corr_clean": mean_correlation(prepared.emotions[test], after),
        "mae_clean": mean_absolute_error(prepared.emotions[test], after),
        "weights_sha256": weights_digest(target),
        "kept_in_half_precision": {
            "of_weights_sha256": run.info["weights_sha256"],
            "corr_clean": run.info["corr_clean"],
            "mae_clean": run.info["mae_clean"],
            "predictions_apart": float(abs(torch.from_numpy(after - before)).max()),
        },
    }
    atomic_write(target / "history.csv", lambda part: run.history.to_csv(part, index=False))
    text = json.dumps(info, indent=1, allow_nan=False)
    atomic_write(target / "run.json", lambda part: part.write_text(text, encoding="utf-8"))
    return load_run(target)


def restore_weights(study: str) -> list[str]:
    """Put a study's kept networks where its runs are and have no weights; the names of the runs.

    Their run.json says that they are copies, and of which weights: attacks on those stay theirs (mer_lib.runs).
    """
    restored = []
    for kept in sorted((figures() / study / "weights").glob("*/run.json")):
        run = load_run(kept.parent)
        target = run_folder(study, run.info["system"], run.info["seed"])
        if (target / "state.safetensors").is_file():
            continue  # a training that goes on here
        finished = (target / "run.json").is_file()
        if (target / "weights.safetensors").is_file():
            ours = weights_digest(target) == run.info["weights_sha256"]
            if not ours or (finished and read_info(target)["weights_sha256"] == run.info["weights_sha256"]):
                continue  # a network of this machine's, or restored before; else cut off while it was restored
        elif finished and not digests_of(read_info(target)) & digests_of(run.info):
            print(f"{target} holds the numbers of another training than the network that is kept: not restored")
            continue
        for name in ("history.csv", "weights.safetensors", "run.json"):
            source = kept.with_name(name)
            atomic_write(target / name, lambda part, source=source: shutil.copyfile(source, part))
        restored.append(f"{run.info['system']}/{target.name}")
    return restored


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study")
    parser.add_argument("system")
    parser.add_argument("seed", type=int)
    given = parser.parse_args()
    run = keep_weights(given.study, given.system, given.seed)
    kept = run.info["kept_in_half_precision"]
    print(f"{run.folder}: predictions of test clips move by at most {kept['predictions_apart']:.1e}")


if __name__ == "__main__":
    main()
