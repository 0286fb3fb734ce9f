"""Whether a prepared corpus has what a system learns from, said before the first epoch.

Notebooks: 02_train_a2e, 03_train_a2b2e, 04_train_a2m2e, 05_adversarial_training
"""

from __future__ import annotations

import numpy as np

from mer_lib.models import SYSTEMS
from mer_lib.preparation import Prepared

FEWEST_CLIPS = 2  # with a correlation
PARTS = {"valid": "validation", "test": "test"}


def check_trainable(system: str, prepared: Prepared, split_protocol: str) -> None:
    """Refuse, before hours are spent, what training would fail on at its end.

    Raises
    ------
    ValueError
        If there is no such system, or the corpus lacks what it learns from, has too few rated clips for a correlation,
        or carries a shortcut planted by another split.
    """
    if system not in SYSTEMS:
        raise ValueError(f"unknown system {system!r}: one of {', '.join(SYSTEMS)}")
    if not np.isfinite(prepared.emotions).any():
        raise ValueError(f"{prepared.folder}: no clip has emotion ratings to train on")
    if SYSTEMS[system].midlevel_weight and not np.isfinite(prepared.midlevel).any():
        raise ValueError(
            f"{system} learns the seven mid-level qualities and {prepared.folder} has none: get the mid-level tables "
            "(data/README.md), or prepare with midlevel='computed'"
        )
    planted = prepared.info["shortcut"]
    if planted["strength"] and planted["split_protocol"] != split_protocol:
        raise ValueError(
            f"{prepared.folder}: the shortcut was planted in training and validation clips of the "
            f"{planted['split_protocol']} split; on the {split_protocol} split test clips would carry it"
        )
    wanted = {"emotion ratings": (prepared.emotions, ("valid", "test"))}
    if SYSTEMS[system].midlevel_weight:
        wanted["mid-level values"] = (prepared.midlevel, ("valid",))
    parts = prepared.split(split_protocol)
    few = [
        f"{count} of {len(parts[part])} {PARTS[part]} clips with {what}"
        for what, (values, needed) in wanted.items()
        for part in needed
        if (count := int(np.isfinite(values[parts[part]]).sum(axis=0).max())) < FEWEST_CLIPS
    ]
    if few:
        raise ValueError(
            f"{prepared.folder}: {'; '.join(few)}: correlations need at least {FEWEST_CLIPS} (a corpus of 20 clips "
            "with all ratings has them)"
        )
