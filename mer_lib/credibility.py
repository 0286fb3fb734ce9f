"""Is the attack strong enough to carry a claim? The checks of Carlini et al. (2019) and Athalye et al. (2018), for
regression on music.

A network that an attack cannot move is robust, or the attack is weak, or the gradients are hidden. Each check rules out
one way of fooling oneself; a claim of robustness may rest on an attack only where all pass.

Notebook: 09_credibility
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import combinations

import numpy as np
import pandas as pd

from mer_lib.attacks import worst_over
from mer_lib.evidence import Evidence, Settings
from mer_lib.gradient_free import KINDS
from mer_lib.metrics import mean_absolute_error, mean_correlation, spread
from mer_lib.models import SYSTEMS
from mer_lib.tables import with_changes

PASSED, FAILED = "passed", "failed"
STABLE = 0.02  # more steps, restarts or other step sizes may change the rise of the MAE by less than this share
NOISE_SHARE = 0.2  # noise of the same budget reaches less than this share of the attack's rise
# The order of the ladder, the weak attacks first; "*" stands for what follows
LADDER = (
    *(f"{kind} noise" for kind in KINDS), "from *", "Square", "FGSM", "PGD", "BIM", "BIM, step x *",
    "BIM, restarts doubled", "BIM, steps doubled", "APGD", "APGD on the correlation",
)  # fmt: skip


def masking_checks(evidence: Evidence) -> list[tuple[str, str, str, bool]]:
    """The checks that hidden gradients cannot pass: check, result, evidence, whether it passed."""
    found, best = evidence.slopes, evidence.rise("BIM")
    rows = [
        (
            "gradients are there",
            f"{found['zero cells']:.1%} zero",
            f"{found['clips without slope']:.0%} of clips without slope; norms {found['smallest norm']:.2g} to "
            f"{found['largest norm']:.2g}, median {found['median norm']:.2g}",
            found["clips without slope"] == 0 and found["zero cells"] < 0.05,
        ),
        _stronger(evidence, "white box beats gradient-free", "Square", best),
    ]
    rows += [_stronger(evidence, f"white box beats transfer {name}", name, best) for name in evidence.transfer]
    return rows


def _stronger(evidence: Evidence, check: str, weaker: str, best: float) -> tuple[str, str, str, bool]:
    rise = evidence.rise(weaker)
    return check, f"{rise:+.4f} against {best:+.4f}", f"rise of MAE: {weaker} against BIM", rise <= best


def _same(evidence: Evidence, check: str, names: list[str], best: float) -> tuple[str, str, str, bool]:
    rises = {name: evidence.rise(name) for name in names}
    most = max(rises, key=rises.get)
    change = (rises[most] - best) / best if best > 0 else np.inf
    return check, f"{change:+.1%}", f"largest rise {rises[most]:+.4f} ({most}) against {best:+.4f}", change < STABLE


def checks(evidence: Evidence, settings: Settings, masked: Evidence | None = None) -> pd.DataFrame:
    """The table of one network: check, result, evidence, verdict.

    Parameters
    ----------
    evidence, settings
        From :func:`gather`.
    masked
        Evidence of the same network with hidden gradients (:class:`Masked`), the positive control.
    """
    curve, chance, best = evidence.curve, evidence.chance(), evidence.rise("BIM")
    clean, last = curve.iloc[0], curve.iloc[-1]
    falls = -np.minimum(0, np.diff(curve["mae"])).sum()
    noise = max(evidence.rise(f"{kind} noise") for kind in KINDS)
    rows = [
        (
            "there is something to lose",
            f"corr {clean['corr']:.3f}, MAE {clean['mae']:.4f}",
            f"clean; the mean predictor has MAE {chance:.4f}",
            clean["mae"] < chance and clean["corr"] > 0,
        ),
        (
            "more budget, more harm",
            "monotone" if falls == 0 else f"falls by {falls:.4f}",
            "MAE at epsilon " + ", ".join(f"{row.epsilon:g}: {row.mae:.3f}" for row in curve.itertuples()),
            falls <= 0.01 * (last["mae"] - clean["mae"]),
        ),
        (
            "without limit it succeeds",
            f"corr {last['corr']:.3f}, MAE {last['mae']:.3f}",
            f"at epsilon {last['epsilon']:g}; chance: corr 0, MAE {chance:.4f}",
            last["mae"] >= chance and last["corr"] <= 0,
        ),
        (
            "iterative beats single step",
            f"{best:+.4f} against {evidence.rise('FGSM'):+.4f}",
            "rise of MAE: BIM against FGSM",
            evidence.loss("BIM") >= evidence.loss("FGSM"),
        ),
        *masking_checks(evidence),
        _same(evidence, "steps doubled", ["BIM, steps doubled"], best),
        _same(evidence, "restarts doubled", ["BIM, restarts doubled"], best),
        _same(evidence, "step size", [f"BIM, step x {factor:g}" for factor in settings.step_factors], best),
        _same(evidence, "no relative is stronger", ["PGD", "APGD"], best),
        (
            "noise of that size is harmless",
            f"{noise / best:.1%} of the rise" if best > 0 else "no rise",
            f"rise of MAE {noise:+.4f} (the worst of {', '.join(KINDS)}) against {best:+.4f}",
            best > 0 and noise < NOISE_SHARE * best,
        ),
    ]
    if masked is not None:
        exposed = [check for check, _, _, passed in masking_checks(masked) if not passed]
        told = f"exposed by: {'; '.join(exposed)}" if exposed else "not exposed"
        rows.append(("the checks expose a masked network", f"{len(exposed)} fail", told, bool(exposed)))
    table = pd.DataFrame(rows, columns=["check", "result", "evidence", "verdict"])
    return table.assign(verdict=[PASSED if passed else FAILED for passed in table["verdict"]])


def worst_table(evidences: Mapping[str, Evidence]) -> pd.DataFrame:
    """The strongest that was found: for each network the worst over all attacks, clip by clip, beside BIM alone.

    Columns: clean and attacked figures, the rise of the MAE (BIM, worst) and over the spread of clean answers, and the
    attack that was worst for most clips.
    """
    rows = {}
    for name, evidence in evidences.items():
        worst, chosen = worst_over(evidence.results, evidence.ratings)
        reach = spread(worst.clean, evidence.ratings)
        clean = mean_absolute_error(evidence.ratings, worst.clean)
        rise = mean_absolute_error(evidence.ratings, worst.attacked) - clean
        rows[name] = {
            "corr clean": mean_correlation(evidence.ratings, worst.clean),
            "MAE clean": clean,
            "rise, BIM": evidence.rise("BIM"),
            "rise, worst": rise,
            "corr, worst": mean_correlation(evidence.ratings, worst.attacked),
            "corr, aimed at it": mean_correlation(
                evidence.ratings, evidence.results["APGD on the correlation"].attacked
            ),
            "spread clean": reach,
            "rise, worst / spread": rise / reach if reach > 0 else np.nan,
            "most often worst": max(sorted(set(chosen)), key=chosen.count),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("system")


def at_equal_correlation(results: pd.DataFrame, tolerance: float = 0.02) -> pd.DataFrame:
    """Systems compared where they predict equally well: pairs of runs whose clean correlations differ by little.

    A network that predicts worse has less to lose, so a smaller loss need not be robustness.

    Parameters
    ----------
    results
        Rows of ``results.csv``.
    tolerance
        Largest difference of the clean correlations.

    Returns
    -------
    pandas.DataFrame
        A row an attack and pair of systems: number of pairs of runs, the mean difference (first minus second) of the
        rise of the MAE and of the rise over the spread; "not possible" where no runs are that close.
    """
    rows, names = [], [name for name in SYSTEMS if name in set(results["system"])]
    for attack, part in with_changes(results).groupby("attack", sort=False):
        for first, second in combinations(names, 2):
            both = part[part["system"] == first].merge(part[part["system"] == second], how="cross", suffixes=("", "_2"))
            close = both[(both["corr_clean"] - both["corr_clean_2"]).abs() <= tolerance]
            changes = [(close[name] - close[f"{name}_2"]).mean() for name in ("mae_change", "change_over_spread")]
            told = f"{len(close)} of {len(both)} pairs of runs" if len(close) else "not possible"
            rows.append([attack, first, second, told, *changes])
    columns = ["attack", "first", "second", "compared", "difference of the rise", "difference of rise / spread"]
    return pd.DataFrame(rows, columns=columns)


def ladder(evidences: Mapping[str, Evidence]) -> pd.DataFrame:
    """Rise of the MAE of every network under every attack, the weak ones first: columns system, attack, rise."""
    names = dict.fromkeys(name for evidence in evidences.values() for name in evidence.results)
    order = [name for step in LADDER for name in names if fnmatchcase(name, step)]
    return pd.DataFrame(
        [[system, name, e.rise(name)] for name in order for system, e in evidences.items() if name in e.results],
        columns=["system", "attack", "rise"],
    )


def curves(evidences: Mapping[str, Evidence]) -> pd.DataFrame:
    """The curves of all networks: system, epsilon, mae, corr."""
    return pd.concat([e.curve.assign(system=name) for name, e in evidences.items()], ignore_index=True)


def reading(tables: Mapping[str, pd.DataFrame]) -> str:
    """What the tables of :func:`checks` allow to say, in Markdown; computed from the verdicts.

    Parameters
    ----------
    tables
        System -> its table.
    """
    lines = []
    for system, table in tables.items():
        failed = list(table.loc[table["verdict"] == FAILED, "check"])
        if not failed:
            lines.append(
                f"- **{system}**: all {len(table)} checks passed: the attack may carry a claim at this budget."
            )
            continue
        lines.append(
            f"- **{system}**: {len(failed)} of {len(table)} checks failed ({'; '.join(failed)}). Its figures are lower "
            "bounds of the harm; no claim of robustness may rest on them."
        )
    return "\n".join(lines)
