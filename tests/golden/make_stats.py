#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_stats.py: writes stats.jsonl, the golden values of engine/stats: scipy and statsmodels where they have the
statistic, the definition written out (sums over all sign vectors, all pairs, all resamples) where they have not.

    python3 make_stats.py        needs numpy, scipy, statsmodels

A line is a case: "of" names the function, then its arguments, then what it must give; null stands for NaN. The cases are
random over seeds, with ties, zeros, tiny and lopsided inputs among them. tests/unit/stats_golden.c reads the file.
"""
import itertools
import json
import math
import pathlib
import warnings

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import Table2x2
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

OUT = pathlib.Path(__file__).with_name("stats.jsonl")
rng = np.random.default_rng(20260101)
lines = []


def clean(v):
    if isinstance(v, (list, tuple, np.ndarray)):
        return [clean(x) for x in v]
    if isinstance(v, (bool, np.bool_)):
        return bool(v)
    if isinstance(v, (int, np.integer)):
        return int(v)
    if isinstance(v, (float, np.floating)):
        return None if not math.isfinite(v) else float(v)
    return v


def case(of, **fields):
    lines.append(json.dumps({"of": of, **{k: clean(v) for k, v in fields.items()}}, separators=(",", ":")))


def values(n, kind):
    """n numbers: no ties, coarse (many ties and zeros), speedups around 1 with copies at exactly 1, or shares."""
    if kind == 0:
        return rng.normal(0.2, 1, n).round(4)
    if kind == 1:
        return rng.integers(-3, 5, n).astype(float)
    if kind == 2:
        return np.where(rng.random(n) < 0.4, 1.0, np.exp(rng.normal(0.1, 0.5, n)).round(3))
    return rng.binomial(8, rng.random(n)) / 8


def distributions():
    for _ in range(40):
        t, df = rng.normal(0, 3), float(rng.integers(1, 60))
        p = float(rng.choice([rng.random(), rng.random() * 1e-4]))
        case("student", t=t, df=df, two_sided=2 * stats.t.sf(abs(t), df), p=p,
             quantile=stats.t.ppf(p, df))
        a, b, x = np.exp(rng.normal(1, 1.5)), np.exp(rng.normal(1, 1.5)), rng.random()
        case("beta", x=x, a=a, b=b, cdf=stats.beta.cdf(x, a, b), p=p, quantile=stats.beta.ppf(p, a, b))


def proportions():
    for n in (1, 2, 5, 8, 20, 64, 320, 5000):
        for k in sorted({0, 1 if n > 1 else 0, n // 3, n // 2, n - 1, n}):
            level = float(rng.choice([0.95, 0.9, 0.99]))
            lo, hi = proportion_confint(k, n, alpha=1 - level, method="beta")
            case("clopper_pearson", k=k, n=n, level=level, lo=0.0 if k == 0 else lo, hi=1.0 if k == n else hi)
            lo, hi = proportion_confint(k, n, alpha=1 - level, method="wilson")
            case("wilson", k=k, n=n, level=level, lo=max(lo, 0), hi=min(hi, 1))
    for _ in range(30):
        a, b, c, d = (int(v) for v in rng.integers(0, 12, 4))
        table = np.array([[a, b], [c, d]], dtype=float)
        if (table == 0).any():
            table += 0.5
        t = Table2x2(table, shift_zeros=False)
        lo, hi = t.oddsratio_confint(0.05)
        case("odds_ratio", a=a, b=b, c=c, d=d, value=t.oddsratio, lo=lo, hi=hi)
        n = a + b + c + d
        if n:
            p12, p21, m = (b + 0.5) / (n + 2), (c + 0.5) / (n + 2), n + 2
            half = stats.norm.ppf(0.975) * math.sqrt(((p12 + p21) - (p12 - p21) ** 2) / m)
            case("mcnemar", b=b, c=c, n=n, value=(b - c) / n, lo=max(-1, p12 - p21 - half), hi=min(1, p12 - p21 + half),
                 p=stats.binomtest(b, b + c).pvalue if b + c else 1.0)
    for _ in range(30):
        ks = np.unique(rng.integers(1, 100, 6)).astype(float)
        curve = np.sort(rng.random(len(ks)))
        target = float(rng.choice([rng.random(), curve[0], curve[-1]]))
        reached = 0.0 if target < curve[0] else (-1.0 if target > curve[-1] else
                                                 float(np.exp(np.interp(target, curve, np.log(ks)))))
        case("equivalent_k", k=ks, curve=curve, target=target, value=reached)


def signed_rank_distribution(ranks):
    """{doubled sum: probability} of random signs, by listing all of them."""
    doubled = [int(round(2 * r)) for r in ranks]
    out = {}
    for signs in itertools.product((0, 1), repeat=len(doubled)):
        s = sum(r for r, keep in zip(doubled, signs) if keep)
        out[s] = out.get(s, 0) + 0.5 ** len(doubled)
    return out


def wilcoxon_exact(d, pratt):
    kept = d if pratt else d[d != 0]
    ranks = stats.rankdata(np.abs(kept))
    ranks, d = ranks[kept != 0], kept[kept != 0]
    dist = signed_rank_distribution(ranks)
    at = int(round(2 * ranks[d > 0].sum()))
    below = sum(p for s, p in dist.items() if s <= at)
    above = sum(p for s, p in dist.items() if s >= at)
    return at / 2, min(1.0, 2 * min(below, above)), min(1.0, 2 * 0.5 ** len(d))


def hodges_lehmann(d, level):
    n = len(d)
    walsh = np.sort([(d[i] + d[j]) / 2 for i in range(n) for j in range(i + 1)])
    dist = signed_rank_distribution(range(1, n + 1))
    c = 0
    while sum(p for s, p in dist.items() if s <= 2 * c) <= (1 - level) / 2:
        c += 1
    bounds = (walsh[c - 1], walsh[len(walsh) - c]) if c else (math.nan, math.nan)
    return np.median(walsh), *bounds


def tied(x):
    _, counts = np.unique(x, return_counts=True)
    return int(counts[counts > 1].sum())


def paired():
    for i in range(60):
        n = int(rng.integers(1, 13))
        d = values(n, i % 4) - (values(n, i % 4) if i % 3 else 1)
        for pratt in (False, True):
            w, p, p_min = wilcoxon_exact(d, pratt)
            case("wilcoxon", d=d, pratt=pratt, statistic=w, p=p, p_min=p_min, zeros=int((d == 0).sum()),
                 ties=tied(np.abs(d[d != 0])), exact=True)
        value, lo, hi = hodges_lehmann(d, 0.95)
        case("hodges_lehmann", d=d, value=value, lo=lo, hi=hi)
        far, sums = abs(d.sum()), []
        for signs in itertools.product((-1, 1), repeat=n):
            sums.append(abs(float(np.dot(signs, d))) >= far - 1e-12 * np.abs(d).sum())
        case("sign_flip", d=d, statistic=d.mean(), p=float(np.mean(sums)) if (d != 0).any() else 1.0,
             p_min=2 * 0.5 ** int((d != 0).sum()) if (d != 0).any() else 1.0)
    for i in range(16):  # scipy's own exact test, where there are neither ties nor zeros
        d = rng.normal(0.3, 1, int(rng.integers(14, 50))).round(6)
        r = stats.wilcoxon(d, method="exact", alternative="two-sided")
        case("wilcoxon", d=d, pratt=False, statistic=stats.rankdata(np.abs(d))[d > 0].sum(), p=r.pvalue,
             p_min=2 * 0.5 ** len(d), zeros=0, ties=0, exact=True)
    for i in range(24):
        n = int(rng.integers(90, 200))
        d = values(n, i % 4) - (0.3 if i % 4 == 0 else values(n, i % 4))
        for pratt in (False, True):
            r = stats.wilcoxon(d, zero_method="pratt" if pratt else "wilcox", correction=True, method="asymptotic")
            kept = d if pratt else d[d != 0]
            ranks = stats.rankdata(np.abs(kept))
            case("wilcoxon", d=d, pratt=pratt, statistic=ranks[kept > 0].sum(), p=r.pvalue,
                 p_min=2 * 0.5 ** int((d != 0).sum()), zeros=int((d == 0).sum()), ties=tied(np.abs(d[d != 0])), exact=False)
    for i in range(30):
        x, y = values(int(rng.integers(1, 9)), i % 4), values(int(rng.integers(1, 7)), i % 4)
        both, nx = np.concatenate([x, y]), len(x)
        far = abs(x.mean() - y.mean()) - 1e-12 * np.abs(both).max()
        hits = n_all = 0
        for chosen in itertools.combinations(range(len(both)), nx):
            mask = np.zeros(len(both), bool)
            mask[list(chosen)] = True
            hits += abs(both[mask].mean() - both[~mask].mean()) >= far
            n_all += 1
        case("permutation", x=x, y=y, statistic=x.mean() - y.mean(), p=hits / n_all)


def bonett_wright(r, n, given=0):
    df = n - 2 - given
    if not math.isfinite(r) or df < 2 or abs(r) >= 1:
        return math.nan, math.nan
    half = stats.norm.ppf(0.975) * math.sqrt((1 + r * r / 2) / (df - 1))
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def correlations():
    for i in range(60):
        n = int(rng.integers(3, 70))
        x, y, z = values(n, i % 4), values(n, (i // 4) % 4), values(n, 0)
        y = y + 0.5 * x
        if i % 5 == 0:
            z = np.round(x)
        r, p = stats.spearmanr(x, y)
        lo, hi = bonett_wright(r, n)
        case("spearman", x=x, y=y, value=r, p=p, lo=lo, hi=hi, ties=tied(x) + tied(y))
        if n > 5:
            rx, ry, rz = stats.rankdata(x), stats.rankdata(y), stats.rankdata(z)
            design = np.column_stack([np.ones(n), rz])
            ex = rx - design @ np.linalg.lstsq(design, rx, rcond=None)[0]
            ey = ry - design @ np.linalg.lstsq(design, ry, rcond=None)[0]
            r = float(np.corrcoef(ex, ey)[0, 1]) if ex.std() > 1e-9 and ey.std() > 1e-9 else math.nan
            t = r * math.sqrt((n - 3) / (1 - r * r)) if math.isfinite(r) else math.nan
            lo, hi = bonett_wright(r, n, 1)
            case("partial_spearman", x=x, y=y, z=z, value=r, p=2 * stats.t.sf(abs(t), n - 3), lo=lo, hi=hi)
        any_ties = tied(x) + tied(y) > 0
        k = stats.kendalltau(x, y, method="asymptotic" if any_ties or n > 50 else "exact")
        ok = n > 4 and abs(k.statistic) < 1
        half = stats.norm.ppf(0.975) * math.sqrt(0.437 / (n - 4)) if ok else math.nan
        centre = math.atanh(k.statistic) if ok else math.nan
        case("kendall", x=x, y=y, value=k.statistic, p=k.pvalue, lo=math.tanh(centre - half), hi=math.tanh(centre + half))
    for i in range(20):
        g = int(rng.integers(6, 15))
        cluster = np.sort(rng.integers(0, g, 80))
        cluster = np.unique(cluster, return_inverse=True)[1]
        g = cluster.max() + 1
        x = (values(80, i % 4) + rng.normal(0, 1, g)[cluster]).round(3)
        y = (values(80, 0) + rng.normal(0, 1, g)[cluster] + 0.2 * x).round(3)
        r = stats.spearmanr(x, y).statistic
        fisher = math.atanh(r)
        pseudo = []
        for c in range(g):
            keep = cluster != c
            pseudo.append(g * fisher - (g - 1) * math.atanh(stats.spearmanr(x[keep], y[keep]).statistic))
        se = np.std(pseudo, ddof=1) / math.sqrt(g)
        half = stats.t.ppf(0.975, g - 1) * se
        case("spearman_clusters", x=x, y=y, cluster=cluster, value=r, p=2 * stats.t.sf(abs(fisher / se), g - 1),
             lo=math.tanh(fisher - half), hi=math.tanh(fisher + half))
    for i in range(30):
        x, y = values(int(rng.integers(2, 30)), i % 4), values(int(rng.integers(2, 30)), i % 4) + 0.2 * (i % 3)
        u = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=True)
        nx, ny = len(x), len(y)
        d = np.sign(x[:, None] - y[None, :])
        delta = d.mean()
        sx, sy = d.mean(axis=1).var(ddof=1), d.mean(axis=0).var(ddof=1)
        sxy = ((d - delta) ** 2).sum() / ((nx - 1) * (ny - 1))
        v = ((ny - 1) * sx + (nx - 1) * sy + sxy) / (nx * ny)
        q = stats.t.ppf(0.975, nx + ny - 2)
        lo = hi = math.nan
        if abs(delta) < 1 and v > 0:
            half = q * math.sqrt(v * ((1 - delta ** 2) ** 2 + q * q * v))
            lo, hi = (((delta - delta ** 3) + s * half) / (1 - delta ** 2 + q * q * v) for s in (-1, 1))
        case("cliffs_delta", x=x, y=y, value=2 * u.statistic / (nx * ny) - 1,
             p=1.0 if len(set(x) | set(y)) == 1 else u.pvalue, lo=lo, hi=hi)


def resampling():
    for i in range(24):
        x = values(int(rng.integers(2, 40)), i % 4)
        if len(set(x)) > 1:
            lo, hi = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
            case("student_interval", x=x, value=x.mean(), lo=lo, hi=hi)
    for i in range(6):  # all 5^5 or 6^6 resamples; the engine draws 200,000
        x = values(5 + i % 2, (0, 2, 3)[i % 3])
        se, ts = x.std(ddof=1) / math.sqrt(len(x)), []
        for draw in itertools.product(x, repeat=len(x)):
            draw = np.array(draw)
            if len(set(draw)) > 1:
                ts.append(abs(draw.mean() - x.mean()) / (draw.std(ddof=1) / math.sqrt(len(x))))
        case("bootstrap_t", x=x, value=x.mean(), lo=x.mean() - se * np.quantile(ts, 0.8),
             hi=x.mean() + se * np.quantile(ts, 0.8), level=0.8)
    for i in range(8):
        x = values(int(rng.integers(12, 40)), (0, 2)[i % 2])
        r = stats.bootstrap((x,), np.mean, n_resamples=200000, batch=20000, method="BCa", rng=rng).confidence_interval
        case("bootstrap_bca", x=x, value=x.mean(), lo=r.low, hi=r.high)
    for i in range(20):
        p = rng.random(int(rng.integers(1, 12))) ** 3
        if i % 3 == 0:
            p = np.round(p, 1)
        case("holm", p=p, adjusted=multipletests(p, method="holm")[1])
        case("benjamini_hochberg", p=p, adjusted=multipletests(p, method="fdr_bh")[1])


def main():
    warnings.simplefilter("ignore")
    for part in (distributions, proportions, paired, correlations, resampling):
        part()
    OUT.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} cases")


if __name__ == "__main__":
    main()
