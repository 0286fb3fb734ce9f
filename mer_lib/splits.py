"""Who trains, who validates, who is tested: the published split, and one that keeps albums together.

Notebook: 01_prepare_data
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
import torch

PROTOCOLS = ("published", "grouped")
FAR = 0.1  # share of the clips by which a part may miss its size before whole groups are dealt out in another order


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
        dealt out in a random order, or, where that misses 8 : 1 : 1 by more than a tenth of the clips in some part and
        it helps, the largest first.
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
    order = torch.randperm(len(names), generator=generator).tolist()
    dealt = _dealt(order, sizes, wanted, first_empty=True)
    if (missed := _missed(dealt, sizes, wanted)) > FAR * n:
        other = _dealt(sorted(order, key=lambda index: -sizes[index]), sizes, wanted, first_empty=False)
        dealt = other if _missed(other, sizes, wanted) < missed else dealt
    return {part: np.flatnonzero(np.isin(groups, names[dealt[part]])) for part in ("train", "valid", "test")}


def _dealt(order: list[int], sizes: np.ndarray, wanted: dict[str, int], *, first_empty: bool) -> dict[str, list[int]]:
    """Groups by part, dealt out in this order.

    With ``first_empty`` an empty part comes first, then where the largest share is still missing; else each group goes
    where most clips are missing, and to an empty part only when as few groups as empty parts are left.
    """
    members: dict[str, list[int]] = {part: [] for part in wanted}
    for left, index in zip(range(len(order), 0, -1), order, strict=True):
        empty = [part for part in wanted if not members[part]]
        missing = {part: wanted[part] - sizes[members[part]].sum() for part in wanted}
        if first_empty:
            shares = {part: (part in empty, (missing[part] - sizes[index] / 2) / wanted[part]) for part in wanted}
        else:
            shares = {part: (left <= len(empty) and part in empty, missing[part]) for part in wanted}
        members[max(shares, key=shares.__getitem__)].append(index)
    return members


def _missed(members: dict[str, list[int]], sizes: np.ndarray, wanted: dict[str, int]) -> int:
    """By how many clips the part that is farthest from its size misses it."""
    return max(abs(sizes[members[part]].sum() - wanted[part]) for part in wanted)
