"""Tables in the paper's form and the reading of a study's results, all computed from results.csv.

Notebooks: 01_prepare_data to 08_robustness
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mer_lib.captions import ENOUGH_SEEDS
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.metrics import absolute_errors, correlations
from mer_lib.models import SYSTEMS, Network
from mer_lib.places import data_folder

SOURCE = "Hoedt, Flexer, Widmer 2025, Table 1 and Figure 3 (arXiv 2508.03780)"
NATURAL = ("A2E", "A2B2E", "A2M2E")


def published_table() -> pd.DataFrame:
    """The paper's Table 1 and mean rises of MAE (Figure 3), by system; see ``data/published/README.md``."""
    return pd.read_csv(data_folder() / "published" / "table1.csv").set_index("system")


def emotion_table(ratings: np.ndarray, predictions: np.ndarray, names: Sequence[str] = EMOTIONS) -> pd.DataFrame:
    """Correlation and MAE of each output over the clips, and their means in a last row.

    Parameters
    ----------
    ratings, predictions
        (clips, outputs); NaN ratings are left out.

    Notebook: 02_train_a2e to 05_adversarial_training
    """
    table = pd.DataFrame(
        {"correlation": correlations(ratings, predictions), "MAE": absolute_errors(ratings, predictions)},
        index=list(names),
    )
    table.loc["mean"] = table.mean()
    return table


def bottleneck_correlations(neurons: np.ndarray, qualities: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Correlation of every bottleneck neuron with every mid-level quality over the clips.

    Parameters
    ----------
    neurons
        (clips, 7), what the bottleneck says.
    qualities
        (clips, 7), known values; clips without any are left out.
    names
        Names of the qualities.

    Returns
    -------
    pandas.DataFrame
        One row a neuron, one column a quality.

    Notebook: 03_train_a2b2e, 04_train_a2m2e
    """
    table = {
        name: [correlations(qualities[:, [j]], neurons[:, [i]])[0] for i in range(neurons.shape[1])]
        for j, name in enumerate(names)
    }
    return pd.DataFrame(table, index=[f"neuron {i + 1}" for i in range(neurons.shape[1])])


def group_table(groups: np.ndarray, splits: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Test clips of each split whose group (album) is also in training, and those whose group is not.

    Parameters
    ----------
    groups
        (clips,), the group of each clip.
    splits
        Protocol -> parts, as :func:`mer_lib.dataset.split` gives them.

    Notebook: 01_prepare_data
    """
    rows = {}
    for protocol, parts in splits.items():
        seen = np.isin(groups[parts["test"]], groups[parts["train"]])
        rows[protocol] = {
            **{f"{part} clips": len(parts[part]) for part in ("train", "valid", "test")},
            "group also in training": int(seen.sum()),
            "group unseen": int((~seen).sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def with_changes(results: pd.DataFrame) -> pd.DataFrame:
    """Results with what the attack changed: MAE, correlation, and the change of MAE in units of the clean spread.

    A network whose outputs vary little moves little: ``change_over_spread`` divides the rise of MAE by the spread
    (standard deviation over the test clips, mean of the emotions) of the system's own clean predictions.
    """
    change = results["mae_attacked"] - results["mae_clean"]
    return results.assign(
        mae_change=change,
        corr_change=results["corr_attacked"] - results["corr_clean"],
        change_over_spread=change / results["spread_clean"].where(results["spread_clean"] > 0),
    )


def chosen_attack(changed: pd.DataFrame, attack: str = "") -> str:
    """The attack asked for, or by default the one with the largest mean rise of the MAE.

    Raises
    ------
    ValueError
        If there is none of that name.

    Notebook: 08_robustness, 09_credibility
    """
    if attack and attack not in set(changed["attack"]):
        raise ValueError(f"no attack {attack!r} here, only {', '.join(dict.fromkeys(changed['attack']))}")
    return attack or changed.groupby("attack")["mae_change"].mean().idxmax()


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    return table.reindex([name for name in SYSTEMS if name in table.index])


def _plus_minus(mean: pd.Series, std: pd.Series) -> pd.Series:
    """mean ± std with two decimals; without ± where there is one seed."""
    return pd.Series(
        [f"{m:.2f}" + ("" if np.isnan(s) else f" ± {s:.2f}") for m, s in zip(mean, std, strict=True)], index=mean.index
    )


def table_1(results: pd.DataFrame) -> pd.DataFrame:
    """Table 1: correlation and MAE before the attack, mean ± standard deviation over the seeds, beside the published.

    Parameters
    ----------
    results
        Rows of ``results.csv``, any number of attacks a run.

    Notebook: 08_robustness
    """
    runs = results.drop_duplicates(["system", "seed"]).groupby("system")
    measured = runs[["corr_clean", "mae_clean"]].agg(["mean", "std"])
    known = published_table().reindex(measured.index)
    table = pd.DataFrame(
        {
            "seeds": runs.size(),
            "correlation": _plus_minus(measured["corr_clean", "mean"], measured["corr_clean", "std"]),
            "MAE": _plus_minus(measured["mae_clean", "mean"], measured["mae_clean", "std"]),
            "correlation, published": _plus_minus(known["corr_mean"], known["corr_std"]),
            "MAE, published": _plus_minus(known["mae_mean"], known["mae_std"]),
        }
    )
    return _in_order(table.replace("nan", "–"))


def robustness_table(results: pd.DataFrame) -> pd.DataFrame:
    """What each attack does to each system, means over the seeds; one row an attack and system.

    Notebook: 08_robustness
    """
    columns = {
        "mae_clean": "MAE", "mae_attacked": "MAE attacked", "mae_change": "rise of MAE",
        "change_over_spread": "rise / spread", "corr_clean": "corr", "corr_attacked": "corr attacked",
        "corr_change": "change of corr", "snr_db_median": "SNR (dB)",
    }  # fmt: skip
    rows = with_changes(results)
    networks = rows.groupby(["attack", "system"], sort=False)
    means = networks[list(columns)].mean().rename(columns=columns)
    means.insert(0, "seeds", networks["seed"].nunique())
    order = [(a, s) for a in dict.fromkeys(rows["attack"]) for s in SYSTEMS if (a, s) in means.index]
    return means.reindex(pd.MultiIndex.from_tuples(order, names=["attack", "system"]))


def cost_table(results: pd.DataFrame) -> pd.DataFrame:
    """Seconds and clip-gradients of training, means over the seeds, and how many times the cheapest system's.

    Notebook: 08_robustness
    """
    runs = results.drop_duplicates(["system", "seed"]).groupby("system")
    table = _in_order(runs[["train_seconds", "train_gradients"]].mean())
    table["times the cheapest"] = table["train_gradients"] / table["train_gradients"].min()
    table.insert(0, "seeds", runs.size())
    return table.rename(columns={"train_seconds": "training (s)", "train_gradients": "clip-gradients"})


def run_costs(infos: Sequence[Mapping]) -> pd.DataFrame:
    """What runs cost, a row a run, from their ``info``: seconds and clip-gradients, and those spent on attacking.

    Notebook: 05_adversarial_training
    """
    return pd.DataFrame(
        {
            "system": info["system"],
            "seed": info["seed"],
            "epochs": info["epochs_run"],
            "train_seconds": info["train_seconds"],
            "of these attacking": info["attack_seconds"],
            "train_gradients": sum(info["gradients"].values()),
            "of these attacks": info["gradients"]["attacking"],
        }
        for info in infos
    )


def head_weights(model: Network) -> pd.DataFrame:
    """Weights of a bottleneck network's last layer: one row a quality, one column an emotion.

    Notebook: 04_train_a2m2e
    """
    weights = model.emotion_head.weight.detach().numpy()
    return pd.DataFrame(weights.T, index=list(MIDLEVEL), columns=list(EMOTIONS))


def _ranked(means: pd.Series, digits: int = 3) -> str:
    least, most = means.idxmin(), means.idxmax()
    return f"least for {least} ({means[least]:.{digits}f}) and most for {most} ({means[most]:.{digits}f})"


def reading(results: pd.DataFrame) -> str:
    """What the results say about the paper's claim, in Markdown; every statement is computed from the rows.

    Notebook: 08_robustness
    """
    rows = with_changes(results)
    loss = {"mae_change": "the error rises", "change_over_spread": "the rise over the spread of clean predictions is"}
    lines = []
    for attack, part in rows.groupby("attack", sort=False):
        means = part.groupby("system")[["mae_change", "corr_change", "change_over_spread"]].mean()
        if len(means) < 2:
            continue
        statements = [f"{text} {_ranked(means[column])}" for column, text in loss.items()]
        statements.insert(1, f"the correlation falls {_ranked(-means['corr_change'])}")
        lines.append(f"- **{attack}**: " + "; ".join(statements) + ".")
    lines += _claim(rows)
    seeds = rows.groupby("system")["seed"].nunique()
    if seeds.min() < ENOUGH_SEEDS:
        lines.append(
            f"- With {seeds.min()} seed{'s' if seeds.min() > 1 else ''} of some systems these are observations: "
            "intervals over clips hold for exactly these networks, and with new seeds a difference may be another."
        )
    if (rows["ratings_kind"] != "human listeners").any():
        lines.append("- The ratings come from simulated listeners: this tests the method, not what people hear.")
    return "\n".join(lines)


def _claim(rows: pd.DataFrame) -> list[str]:
    """The paper's two statements, counted over the attacks: against the black boxes and adversarial training."""
    measures = {
        "mae_change": "rise of MAE",
        "corr_change": "loss of correlation",
        "change_over_spread": "rise / spread",
    }
    means = rows.groupby(["attack", "system"])[list(measures)].mean()
    means["corr_change"] *= -1
    lines = []
    systems = set(rows["system"])
    trained = sorted(name for name in systems if SYSTEMS[name].adversarial and name != "aA2M2E")
    for others, words in ((NATURAL[:2], "the naturally trained black boxes"), (trained, "adversarial training")):
        others = [name for name in others if name in systems]
        if "A2M2E" not in systems or not others:
            continue
        counts = []
        for column, label in measures.items():
            table = means[column].unstack()[["A2M2E", *others]].dropna()
            smaller = int((table["A2M2E"] < table[others].min(axis=1)).sum())
            counts.append(f"{label} {smaller} of {len(table)}")
        lines.append(
            f"- A2M2E against {words} ({', '.join(others)}); attacks in which A2M2E's mean is the smallest: "
            + ", ".join(counts)
            + "."
        )
    runs = rows.drop_duplicates(["system", "seed"]).groupby("system")
    clean, gradients = runs["corr_clean"].mean(), runs["train_gradients"].mean()
    if lines and clean["A2M2E"] < clean.drop("A2M2E").max():
        before = ", ".join(f"{name} {clean[name]:.2f}" for name in SYSTEMS if name in clean)
        lines.append(f"- Correlation before the attack: {before}. A system that predicts less has less to lose.")
    if trained and "A2M2E" in gradients and gradients["A2M2E"] > 0:
        ratio = gradients[trained].mean() / gradients["A2M2E"]
        lines.append(f"- Training {' and '.join(trained)} took {ratio:.1f} times the clip-gradients of training A2M2E.")
    return lines
