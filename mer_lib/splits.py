"""Who trains, who validates, who is tested: the published split, and one that keeps albums together.

Notebook: 01_prepare_data
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
import torch

PROTOCOLS = ("published", "grouped")


class HasTable(Protocol):
    """A corpus: something with a table of one row a clip and a column ``group``."""

    table: pd.DataFrame


def split(
    corpus_or_n: HasTable | pd.DataFrame | int, protocol: str = "published", seed: int = 42
) -> dict[str, np.ndarray]:
    """Rows for training, validation and test.

    Parameters
    ----------
    corpus_or_n
        A corpus (or its table), or the number of clips ("published" alone).
    protocol
        "published": ``torch.random_split`` into int(.8 n), the rest, and half of the rest, whatever album a clip is
        from (Hoedt et al. 2025; seed 42 gives the published 36 test clips of 360). "grouped": no group in two parts,
        sizes as near to 8 : 1 : 1 as whole groups allow.
    seed
        Seed of the permutation.

    Returns
    -------
    dict
        "train", "valid", "test": integer arrays of row numbers.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown split protocol {protocol!r}: one of {', '.join(PROTOCOLS)}")
    table = getattr(corpus_or_n, "table", corpus_or_n)
    n = table if isinstance(table, int) else len(table)
    generator = torch.Generator().manual_seed(seed)
    train = int(0.8 * n)
    test = int(0.5 * (n - train))
    if min(train, n - train - test, test) < 1:
        raise ValueError(f"{n} clips are too few to split (10 or more)")
    if protocol == "published":
        order = torch.randperm(n, generator=generator).numpy()
        return {"train": order[:train], "valid": order[train : n - test], "test": order[n - test :]}
    if isinstance(table, int):
        raise ValueError("a grouped split needs the corpus, not only its number of clips")
    groups = table["group"].to_numpy()
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < 3:
        raise ValueError(f"a grouped split needs three groups or more, the corpus has {len(names)}")
    wanted = {"test": test, "valid": n - train - test, "train": train}
    members: dict[str, list[str]] = {part: [] for part in wanted}
    filled = dict.fromkeys(wanted, 0)
    for index in torch.randperm(len(names), generator=generator).tolist():
        # Each group goes where the largest share is still missing; an empty part comes first
        part = max(wanted, key=lambda p: (not members[p], (wanted[p] - filled[p] - sizes[index] / 2) / wanted[p]))
        members[part].append(names[index])
        filled[part] += sizes[index]
    return {part: np.flatnonzero(np.isin(groups, members[part])) for part in ("train", "valid", "test")}
