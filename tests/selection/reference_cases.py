"""The published cases, and slow selection written straight from the description, one token at a time."""

import json
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parents[1] / "data"
CASES = json.loads((DATA / "seats_reference.json").read_text())
ARRAYS = np.load(DATA / "seats_reference.npz")


def array(name: str) -> torch.Tensor:
    return torch.from_numpy(ARRAYS[name])


def select_diverse(features, saliency, window, ratio):
    keep = [False] * len(features)
    for start in range(0, len(features), window):
        f = features[start : start + window].float()
        n = len(f)
        a = torch.ones(n) if saliency is None else saliency[start : start + n].float()
        unit = f / (f.norm(dim=1, keepdim=True) + 1e-8)
        distance = ((1 - unit @ unit.T) * a).tolist()  # [from i][candidate j]
        count = max(1, min(n, round(ratio * n)))
        if count == n:
            keep[start : start + n] = [True] * n
            continue
        nearest = [sorted(distance[i][j] for i in range(n))[1] for j in range(n)]
        chosen = [nearest.index(max(nearest))]
        while len(chosen) < count:
            rest = [j for j in range(n) if j not in chosen]
            score = {j: min(distance[i][j] for i in chosen) for j in rest}
            chosen.append(max(rest, key=lambda j: (score[j], -j)))
        for j in chosen:
            keep[start + j] = True
    return torch.tensor(keep)


def select_relevant(scores, modality, window, video_keep, audio_keep, temperature):
    scores, modality, window = scores.float().tolist(), modality.tolist(), window.tolist()
    ids = sorted({w for w, m in zip(window, modality, strict=True) if m})
    members = {
        kind: [[i for i in range(len(scores)) if modality[i] == kind and window[i] == w] for w in ids]
        for kind in (1, 2)
    }
    budgets = {}
    for kind, keep in ((1, video_keep), (2, audio_keep)):
        n = sum(map(len, members[kind]))
        budgets[kind] = max(1, round(keep * n)) if n else 0

    def best(tokens, count):
        return sorted(tokens, key=lambda i: (-scores[i], i))[:count]

    kept = [i for i, m in enumerate(modality) if m == 0]
    if len(ids) <= 1 or 0 in budgets.values():
        for kind in (1, 2):
            kept += best([i for tokens in members[kind] for i in tokens], budgets[kind])
    else:
        sizes = {kind: [len(tokens) for tokens in members[kind]] for kind in (1, 2)}
        means = {kind: [np.mean([scores[i] for i in t]) if t else 0.0 for t in members[kind]] for kind in (1, 2)}
        for w, counts in enumerate(zip(*keep_counts(sizes, means, budgets, temperature), strict=True)):
            for kind, count in zip((1, 2), counts, strict=True):
                kept += best(members[kind][w], count)
    mask = torch.zeros(len(scores), dtype=torch.bool)
    mask[kept] = True
    return mask


def keep_counts(sizes, means, budgets, temperature):
    """Video and audio counts; `sizes`, `means`: modality → one per window; `budgets`: modality → tokens."""
    one = np.float32
    omega = {}
    for kind in (1, 2):
        scaled = np.array(means[kind], dtype=one) / one(temperature)
        exponent = np.exp(scaled - scaled.max())
        omega[kind] = exponent / exponent.sum()
    total = budgets[1] + budgets[2]
    capacity = [v + a for v, a in zip(sizes[1], sizes[2], strict=True)]
    share = [
        min(c, max(1, round(float((v + a) / one(2) * one(total)))))
        for c, v, a in zip(capacity, omega[1], omega[2], strict=True)
    ]
    repair(share, capacity, total)
    video, audio = [], []
    for w, b in enumerate(share):
        n_v, n_a = sizes[1][w], sizes[2][w]
        part_v, part_a = omega[1][w] * one(budgets[1]), omega[2][w] * one(budgets[2])
        b_v = min(n_v, round(float(one(b) * (part_v / (part_v + part_a + one(1e-12))))))
        b_a = min(n_a, b - b_v)
        more = min(b - b_v - b_a, n_v - b_v)
        b_v += more
        b_a += min(b - b_v - b_a, n_a - b_a)
        if n_v > 0 and b_v == 0:
            b_v = 1
            if b_a > 1:
                b_a = max(1, min(n_a, b - 1))
        if n_a > 0 and b_a == 0:
            b_a = 1
            if b_v > 1:
                b_v = max(1, min(n_v, b - 1))
        video.append(b_v)
        audio.append(b_a)
    return video, audio


def repair(share, capacity, total):
    while sum(share) > total:
        able = [w for w in range(len(share)) if share[w] > 1]
        if not able:
            return
        share[max(able, key=lambda w: (share[w], -w))] -= 1
    while sum(share) < total:
        able = [w for w in range(len(share)) if share[w] < capacity[w]]
        if not able:
            return
        share[min(able, key=lambda w: (share[w], w))] += 1
