# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises on data
#
# Questions on the pages from [clusters](../book/questions/clusters.md) to [cost](../book/questions/cost.md), each with an answer in words and the code
# that bears it out. Try to predict what the code finds before you read on; then change one thing and run it again. Those on the kernel and on learning are
# in the notebook 17-exercises.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"
options = {}  # of the architecture: hidden widths
n = 300  # training samples in the kernel
epochs = 30
seeds = 5  # networks, where several are compared
seed = 0
results = "../results/interactive/18-exercises-data"

# %%
from lpntk.report.results import Results

record = Results(results)  # keeps numbers; no answer needs it

# %% [markdown] tags=["setup"]
# ## What the code starts from
#
# `initial` is a network before its training and `trained` the same network after it. `x` and `y` are some of its training samples, `kappa` is their kernel after
# training. `fresh(count)` makes new networks. Each answer runs after this, by itself.

# %%
import copy
import math

import torch
from sklearn.metrics import average_precision_score

from lpntk.data.dataset import load
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import cosine
from lpntk.learn.models import build
from lpntk.learn.training import train
from lpntk.phenomena.less_data.farthest import clusters
from lpntk.phenomena.less_data.poison.threats import poison
from lpntk.report.tables import table

samples = load(dataset)
fresh = lambda count: [build(model, samples.in_shape, samples.k, seed=s, **options).eval() for s in range(count)]
initial = fresh(1)[0]
trained = copy.deepcopy(initial)
everything = torch.arange(len(samples.y_train))[None]
how = {"epochs": epochs, "lr": 0.1, "device": "cpu"}
history = train([trained], samples.x_train, samples.y_train, everything, seeds=[seed], **how)
chosen = samples.sample(n, seed)
x, y = samples.x_train[chosen], samples.y_train[chosen]
kappa = kernel_matrix(trained, x, y)

# %% [markdown]
# ## [Which samples stand for others?](../book/questions/clusters.md)

# %% [markdown] tags=["exercise-clusters"]
# ### Repairing the first head
#
# Farthest-point clustering starts from the head of the most similar pair, and its list of pairs holds each sample with itself. Somebody repairs that and leaves these pairs out. Why was the first
# head the sample with the longest gradient before the repair? Predict in how many classes the most similar pair still holds that sample after it.

# %% [markdown] tags=["answer"]
# #### Answer
#
# By Cauchy and Schwarz $|\kappa_{ij}| \le \sqrt{\kappa_{ii}\, \kappa_{jj}} \le \max_k \kappa_{kk}$: the largest entry of a Gram matrix stands on its diagonal, and there it is the longest gradient.
# After the repair the same bound still favours long gradients, only now two of them at a small angle. So the repair changes little where the longest gradient has a long neighbour.

# %%
still, closest = 0, []
for label in y.unique():
    block = kappa[y == label][:, y == label]
    others = block.clone().fill_diagonal_(-math.inf)
    pair = divmod(int(others.argmax()), len(block))
    still += int(block.diagonal().argmax()) in pair
    closest.append(float(others.max() / block.diagonal().max()))
print(f"the longest gradient is in the most similar pair in {still} of {len(closest)} classes")
print(f"largest entry off the diagonal, over the largest on it: {min(closest):.2f} to {max(closest):.2f}")

# %% [markdown] tags=["exercise-clusters"]
# ### The loud half
#
# A class has two groups of twenty samples. Within a group the cosine is 0.9, across groups 0.5. The gradients of one group are $r$ times as long as those of the other. Cut the class into two
# clusters by the kernel. For which $r$ are they the two groups?

# %% [markdown] tags=["answer"]
# #### Answer
#
# Let $r \ge 1$. The first head is in the long group, the second in the short one, whose members have the smallest kernel with the first head: $0.5\, r$ against $0.9\, r^2$. Another short sample
# moves to the second head if $0.9 > 0.5\, r$, so up to $r = 1.8$. Beyond it all short samples but the head stay with the long group. The cosine does not see $r$.

# %%
group = torch.arange(40) < 20
angles = torch.where(group[:, None] == group[None], 0.9, 0.5).fill_diagonal_(1.0)
found = []
for r in (1.0, 1.5, 1.79, 1.81, 3.0):
    length = torch.where(group, r, 1.0)
    gram = length[:, None] * angles * length[None]
    one = torch.zeros(40, dtype=torch.int64)
    sizes = {
        name: sorted(clusters(gram, one, 2 / 40, cosine=name == "cosine").sizes.tolist())
        for name in ("kernel", "cosine")
    }
    found.append({"r": str(r), **{f"by the {name}": " and ".join(map(str, of)) for name, of in sizes.items()}})
table(found, "r", "{}")

# %% [markdown] tags=["exercise-clusters"]
# ### As unequal as can be
#
# What is the largest Gini coefficient that $m$ clusters of $n$ samples can have, none of them empty? How near to it do the clusters by the kernel come?

# %% [markdown] tags=["answer"]
# #### Answer
#
# The most unequal sizes are $m - 1$ single samples and one cluster of $n - m + 1$. With sizes $x_1 \le \dots \le x_m$ the coefficient is $\sum_i (2i - m - 1)\, x_i / (m n)$, and as
# $\sum_{i < m} (2i - m - 1) = -(m - 1)$,
#
# $$
# G = \frac{(m - 1)(n - m + 1) - (m - 1)}{m n} = \Big( 1 - \frac1m \Big) \Big( 1 - \frac mn \Big) .
# $$
#
# With one cluster for ten samples it stays below 0.9. (Here it is one for five, as the classes are small.)

# %%
from lpntk.phenomena.less_data.clusters.study import gini

found = []
for label in y.unique()[:5]:
    block = kappa[y == label][:, y == label]
    sizes = clusters(block, torch.zeros(len(block), dtype=torch.int64), 0.2).sizes
    m, many = len(sizes), len(block)
    extreme = gini(torch.tensor([1.0] * (m - 1) + [many - m + 1.0]).numpy())
    row = {
        "clusters by the kernel": gini(sizes.numpy()),
        "most unequal": extreme,
        "formula": (1 - 1 / m) * (1 - m / many),
    }
    found.append({"class": samples.classes[label], "samples": str(many), "clusters": str(m), **row})
table(found, "class", dict.fromkeys(["clusters by the kernel", "most unequal", "formula"], "{:.3f}"))

# %% [markdown]
# ## [Does less data do as well?](../book/questions/less-data.md)

# %% [markdown] tags=["exercise-less-data"]
# ### Two things at once
#
# "A random half, trained for as many epochs, is worse. So the samples that were left out were needed." What else was halved? Separate the two.

# %% [markdown] tags=["answer"]
# #### Answer
#
# Half of the samples make half as many *steps* in an epoch. Twice the epochs give the half as many steps as all samples have. The difference of the last two rows is that of the samples; what lies
# between the first two is that of the steps. Where steps matter, pruning by any method looks worse than it is.

# %%
few = 240
halves = torch.stack(
    [torch.randperm(few, generator=torch.Generator().manual_seed(s))[: few // 2] for s in range(seeds)]
)
whole = torch.arange(few).expand(seeds, -1)
short = {"lr": 0.05, "batch_size": 32, "test": (samples.x_test, samples.y_test), "device": "cpu"}
found = []
for name, sets, factor in (("half", halves, 1), ("half, as many steps as all", halves, 2), ("all", whole, 1)):
    told = train(
        fresh(seeds), samples.x_train, samples.y_train, sets, seeds=range(seeds), epochs=factor * epochs // 2, **short
    )
    last = told.test_accuracy[:, -1]
    found.append(
        {
            "kept": name,
            "epochs": str(factor * epochs // 2),
            "test accuracy": last.mean(),
            "sd over networks": last.std(),
        }
    )
table(found, "kept", dict.fromkeys(["test accuracy", "sd over networks"], "{:.1%}"))

# %% [markdown] tags=["exercise-less-data"]
# ### The price of the best epoch
#
# Report the best test accuracy over the epochs instead of the last one. Can this lower a result? Estimate how much of the gain is real: choose the epoch on one half of the test set, and report the other half.

# %% [markdown] tags=["answer"]
# #### Answer
#
# A maximum over epochs is never below the last of them, so the choice can only add, even where all epochs are equally good and differ by chance. An epoch that is chosen on one half and judged on
# the other keeps what is real, up to noise of either sign. What is left of the first number is chosen, not learned. Here nothing of the gain is left: judged by other images, the chosen epoch is no better than the
# last one, if not worse. All this is of the size of one or two test images, so it takes the mean over many networks to see it. (The standard errors are over networks; all share the test images.)

# %%
many, x_test, y_test = 4 * seeds, samples.x_test, samples.y_test
few = torch.arange(240).expand(many, -1)
short = {"seeds": range(many), "epochs": epochs, "lr": 0.05, "batch_size": 32, "device": "cpu"}
curves = [
    train(fresh(many), samples.x_train, samples.y_train, few, **short, test=(x_test[i::2], y_test[i::2])).test_accuracy
    for i in (0, 1)
]  # the same networks, tested on one half and on the other
both = torch.stack(curves).mean(dim=0)
swapped = [b.gather(1, a.argmax(dim=1)[:, None])[:, 0] - b[:, -1] for a, b in (curves, curves[::-1])]
gains = {
    "chosen and judged by all test samples": both.amax(dim=1) - both[:, -1],
    "chosen by one half, judged by the other": torch.stack(swapped).mean(dim=0),
}
print(f"{many} networks; one of {len(y_test)} test images is {1 / len(y_test):.2%}")
found = [
    {"best epoch": name, "above the last": gain.mean(), "standard error": gain.std() / many**0.5, "sd": gain.std()}
    for name, gain in gains.items()
]
table(found, "best epoch", "{:.2%}")

# %% [markdown]
# ## [Is poison found, and may marked samples go?](../book/questions/poison.md)

# %% [markdown] tags=["exercise-poison"]
# ### Is 0.3 good?
#
# A mark finds poison with an average precision of 0.3. Is that good? Derive what random marks reach, roughly, and check it for several shares of bad samples.

# %% [markdown] tags=["answer"]
# #### Answer
#
# Average precision is the mean, over the bad samples, of the precision at the place where each stands. In a random order the share of bad samples before any place is, on average, the share among all:
# so random marks reach about the share itself, and a little more, as the sample that stands at the place is bad. A value of 0.3 is six times chance at a share of 5 %, and hardly more than chance at 25 %. Compare values at one share only.

# %%
draw, found = torch.Generator().manual_seed(seed), []
for share in (0.02, 0.05, 0.25, 0.5):
    bad = poison("uniform", samples, torch.arange(1000), share, seed=seed).bad
    chance = [average_precision_score(bad, torch.rand(1000, generator=draw)) for _ in range(100)]
    found.append({"share": f"{share:.0%}", "random marks, mean": sum(chance) / 100, "largest of 100": max(chance)})
table(found, "share", "{:.3f}")

# %% [markdown] tags=["exercise-poison"]
# ### Who found the flips?
#
# "The mean cosine within its label finds flipped samples after training; so training has taught the network which labels are wrong." Which control is missing? Run it.

# %% [markdown] tags=["answer"]
# #### Answer
#
# The same mark *before* training. The untrained kernel knows images and labels, and a flipped sample stands among images that are not like it: no learning is needed to see that. Training can add to it or take
# away. A network that has learned the wrong labels by heart may no longer find them strange. The error of the untrained network is the control of the error: it has seen no data, and so it stays near chance.

# %%
from lpntk.phenomena.less_data.scores import residual

told = poison("uniform", samples, chosen, 0.2, seed=seed)
same = told.y[:, None] == told.y[None]
learned = copy.deepcopy(initial)
train([learned], told.x, told.y, torch.arange(n)[None], seeds=[seed], **how)
found = []
for name, net in {"before training": initial, "after": learned}.items():
    inner = (kernel_matrix(net, told.x, told.y, normalize=True) * same).sum(dim=1) - 1
    error = residual(net(told.x).detach().softmax(1), told.y).norm(dim=1)
    marks = {"mean cosine in its label": -inner / (same.sum(dim=1) - 1), "size of the error": error}
    found.append({"asked": name, **{mark: average_precision_score(told.bad, score) for mark, score in marks.items()}})
table(
    [*found, {"asked": "random marks, about", **dict.fromkeys(marks, float(told.bad.float().mean()))}],
    "asked",
    "{:.2f}",
)

# %% [markdown] tags=["exercise-poison"]
# ### A mark for copies
#
# Near-duplicates agree with their class, so a mark for what stands apart does not find them. Invent a mark by the same kernel that does, and say why it cannot be perfect.

# %% [markdown] tags=["answer"]
# #### Answer
#
# A copy has a neighbour at almost no angle: mark samples by their *largest* cosine with another sample. It is not perfect even if all copies stand first. The original that was copied has such a neighbour too, and
# it is not counted as bad. One mark for all threats there is not: what finds copies would rank a lonely flip last.

# %%
told = poison("duplicates", samples, chosen, 0.1, seed=seed)
learned = copy.deepcopy(initial)
train([learned], told.x, told.y, torch.arange(n)[None], seeds=[seed], **how)
angles = kernel_matrix(learned, told.x, told.y, normalize=True)
same = told.y[:, None] == told.y[None]
marks = {
    "small mean cosine in its label": -(angles * same).sum(dim=1) / same.sum(dim=1),
    "large mean cosine in its label": (angles * same).sum(dim=1) / same.sum(dim=1),
    "largest cosine with another": angles.clone().fill_diagonal_(-1).amax(dim=1),
}
table(
    [{"mark": name, "average precision": average_precision_score(told.bad, score)} for name, score in marks.items()],
    "mark",
    "{:.2f}",
)

# %% [markdown]
# ## [Must training samples be a fair sample?](../book/questions/fair-sample.md)

# %% [markdown] tags=["exercise-fair-sample"]
# ### As good as can be
#
# Let one rule judge all three classes, and let it be right as often as can be over all of them. How often is it right on the class in the middle, around (1, 1)? Derive it for a spread $\sigma$, and say
# what it means for the authors' 0.1.

# %% [markdown] tags=["answer"]
# #### Answer
#
# Round clouds of one size and equal weight are told apart best by the nearest mean. A point of the middle class is taken for it if both of its coordinates are positive, each with the chance $\Phi(1/\sigma)$ independently:
# in all $\Phi(1/\sigma)^2$. (A rule that favours this class at the others' cost could give more.) At 0.1 a border is ten standard deviations away, and nothing that is learned sensibly can fail: the toy cannot tell ways to keep
# samples apart.

# %%
from lpntk.phenomena.less_data.gaussians.study import MEANS, clouds

found = []
for noise in (0.1, 0.4, 0.7, 1.0):
    points, label = clouds(300_000, noise, seed)
    nearest = torch.cdist(points, MEANS).argmin(dim=1)
    formula = (0.5 * (1 + math.erf(1 / noise / math.sqrt(2)))) ** 2
    right = nearest == label
    found.append(
        {
            "spread": str(noise),
            "formula": formula,
            "middle class": float(right[label == 1].float().mean()),
            "all": float(right.float().mean()),
        }
    )
table(found, "spread", "{:.4f}")

# %% [markdown] tags=["exercise-fair-sample"]
# ### A half that hurts
#
# The ways on the page bend the sample alike for all classes, and the toy forgives it. Find a rule that keeps half of every class and does hurt at the spread 0.7. (Where does a network put the border, if one side
# of it is pulled back?)

# %% [markdown] tags=["answer"]
# #### Answer
#
# Keep the points with the largest first coordinate in *every* class. The upper left cloud still reaches across its border to the upper right one, but that one now begins a unit behind it. So the border moves to the
# right, and points of the middle class are lost. Keeping points nearest to their mean pulls back both sides alike. It is not the bend that hurts but a bend that is lopsided at a border.

# %%
from lpntk.phenomena.less_data.gaussians.study import clouds, kept, train_points

drawn = [clouds(300, 0.7, 2 * s) for s in range(seeds)]
fair = [torch.stack(part) for part in zip(*(clouds(3000, 0.7, 2 * s + 1) for s in range(seeds)), strict=True)]
right_half = lambda a, b: torch.cat(
    [r[a[r, 0].argsort(descending=True)[:50]] for r in ((b == c).nonzero()[:, 0] for c in range(3))]
)
ways = {
    "all": lambda a, b: torch.arange(300),
    "nearest to the mean": lambda a, b: kept("near", a, b, 0.5, seed, None),
    "right half of each": right_half,
}
found = []
for name, way in ways.items():
    parts = [way(*both) for both in drawn]
    xs, ys = (torch.stack([both[i][part] for both, part in zip(drawn, parts, strict=True)]) for i in (0, 1))
    nets = [build("mlp", (2,), 3, seed=s, hidden=(64,)) for s in range(seeds)]
    last = train_points(nets, xs, ys, epochs=50, lr=0.1, every=2, test=fair)[:, -1]
    found.append({"kept": name, "test accuracy": float(last.mean()), "sd over repeats": float(last.std())})
table(found, "kept", "{:.1%}")

# %% [markdown]
# ## [Does pruning by the kernel spare a rare look?](../book/questions/bias.md)

# %% [markdown] tags=["exercise-bias"]
# ### What the oracle pays
#
# The oracle draws so that the rare mode, a share $r$ of its class, weighs as much as the common one. How often does it see each rare sample? And how many samples of a class are such weights worth, if a mean
# over them should be equally sure?

# %% [markdown] tags=["answer"]
# #### Answer
#
# Rare samples have the weight $\tfrac12 / r$, common ones $\tfrac12 / (1 - r)$: so often is each drawn, on average. Weights $w$ that average 1 give a mean the variance of $n / \overline{w^2}$ fair samples, and
#
# $$
# \frac1{\overline{w^2}} = \Big( \frac{1}{4 r} + \frac1{4 (1 - r)} \Big)^{-1} = 4\, r\, (1 - r) .
# $$
#
# At $r$ = 5 % each rare sample is seen ten times, and the set is worth 19 % of its size. Balance is bought with noise. (Drawing instead of weighing adds some of its own, which is not counted here.)

# %%
from lpntk.phenomena.less_data.bias.modes import reweighted

draw, found = torch.Generator().manual_seed(seed), []
values = torch.randn(2000, 1000, generator=draw)  # 2,000 worlds, a property of 1,000 samples in each
for r in (0.5, 0.2, 0.05):
    mode = (torch.arange(1000) < r * 1000).long()
    seen = torch.bincount(reweighted(torch.zeros(1000, dtype=torch.int64), mode, draw), minlength=1000)
    weight = torch.where(mode == 1, 0.5 / r, 0.5 / (1 - r))
    worth = 1 / float((values @ weight / 1000).var() * 1000)
    found.append(
        {
            "r": f"{r:.0%}",
            "rare seen": float(seen[mode == 1].float().mean()),
            "expected": 0.5 / r,
            "worth": worth,
            "4 r (1 - r)": 4 * r * (1 - r),
        }
    )
table(found, "r", "{:.2f}")

# %% [markdown] tags=["exercise-bias"]
# ### Does the kernel see the looks?
#
# Heads of clusters can favour a rare look only if the kernel sees looks. Compare pairs of one class and one look with pairs of one class and two looks: by raw pixels, by the kernel before training, and after it. Predict
# what training does to the difference, which is what the clusters have to go by.

# %% [markdown] tags=["answer"]
# #### Answer
#
# Looks were cut by pixels, so pixels see them by construction. The untrained kernel sees images through random features. Training has no reason to keep looks apart, as they share the label; nor has it a reason to make
# them one, if it can learn the label without that. What is left after it, the last row tells: that much clusters by the kernel can go by, and no more.

# %%
from lpntk.phenomena.less_data.bias.modes import modes
from lpntk.phenomena.less_data.within import cosine_of_inputs

look = modes(samples, seed=seed)[0][chosen]
upper = torch.ones(n, n, dtype=torch.bool).triu(1) & (y[:, None] == y[None])
alike = look[:, None] == look[None]
kinds = {
    "pixels": cosine_of_inputs(x),
    "kernel before training": cosine(kernel_matrix(initial, x, y)),
    "kernel after": cosine(kappa),
}
found = []
for name, angles in kinds.items():
    one, two = angles[upper & alike].double(), angles[upper & ~alike].double()
    apart = (one.mean() - two.mean()) / angles[upper].double().std()
    found.append(
        {
            "cosine by": name,
            "one look": float(one.mean()),
            "two looks": float(two.mean()),
            "difference, in standard deviations": float(apart),
        }
    )
table(found, "cosine by", "{:.2f}")

# %% [markdown]
# ## [What do other scores say?](../book/questions/other-scores.md)

# %% [markdown] tags=["exercise-other-scores"]
# ### The damping decides
#
# Influence is computed from the kernel of loss gradients with a damping $\lambda$. What does it become, up to a factor, if $\lambda$ is very large? And on what does the answer hang if it is small?

# %% [markdown] tags=["answer"]
# #### Answer
#
# Influence is $\tfrac1\lambda \big( \kappa - \kappa\, (\kappa + n \lambda I)^{-1} \kappa \big)$. For a large $\lambda$ the second term is of order $1/\lambda$ beside the first, and what is left is $\kappa / \lambda$: the plain inner products, in the same
# order. An eigenvector of $\kappa$ with the eigenvalue $\mu$ keeps $\mu / \lambda \cdot n\lambda / (\mu + n\lambda) = n \mu / (\mu + n \lambda)$: for a small $\lambda$ all directions with $\mu \gg n\lambda$ count alike, and small
# eigenvalues decide. So a comparison with influence is one with a damping. (The code gives it in units of the mean squared length of a gradient.)

# %%
from scipy.stats import spearmanr

from lpntk.phenomena.less_data.beside.pairs import influence

errors = kernel_matrix(initial, x, y, signs="error")
i, j = torch.triu_indices(n, n, 1)
found = []
for damping in (1e-4, 1e-2, 1.0, 100.0):
    score = influence(errors, damping)[i, j]
    found.append(
        {
            "damping": f"{damping:g}",
            "rank correlation with inner products": float(spearmanr(score, errors[i, j]).statistic),
        }
    )
table(found, "damping", "{:.3f}")

# %% [markdown] tags=["exercise-other-scores"]
# ### What variability hides
#
# Data-IQ takes the mean of $p$ over training as confidence $c$, and the mean of $p(1-p)$ as variability $v$. Show that $v \le c\,(1 - c)$. What exactly is the difference? Does $v$ measure how much a sample's $p$ *varies*?

# %% [markdown] tags=["answer"]
# #### Answer
#
# Write $\overline{p^2} = \operatorname{Var}(p) + c^2$. Then
#
# $$
# v = c - \overline{p^2} = c\,(1 - c) - \operatorname{Var}(p) .
# $$
#
# So at the same confidence, the *more* $p$ varies over epochs, the *smaller* is $v$. It measures the doubt within an epoch, not the change between epochs. A sample that jumps once from 0 to 1 has $v = 0$; one that stays at ½ has
# the largest $v$ there is.

# %%
from lpntk.phenomena.less_data.beside.samples import data_iq

loss = history.loss[0]  # (epochs, samples)
confidence, variability = data_iq(loss)
p = (-loss).exp()
gap = confidence * (1 - confidence) - variability - p.var(dim=0, correction=0)
print(f"largest gap of the identity: {float(gap.abs().max()):.0e}, over {loss.shape[1]} samples")
made_up = {"jumps from 0 to 1": torch.tensor([1e-9] * 5 + [1.0] * 5), "stays at 1/2": torch.full((10,), 0.5)}
for name, own in made_up.items():
    c, v = data_iq(-own[:, None].log())
    print(f"{name}: confidence {float(c):.2f}, variability {float(v):.2f}")

# %% [markdown]
# ## [What does the kernel cost?](../book/questions/cost.md)

# %% [markdown] tags=["exercise-cost"]
# ### Gradients or their parts?
#
# For which layers is it cheaper to multiply patches and output gradients than to form the gradients? Give the largest number of positions $t$ for a 3 x 3 convolution from 64 to 64 channels, and for a linear layer. Then look which form is
# chosen for the layers of a small network.

# %% [markdown] tags=["answer"]
# #### Answer
#
# It is cheaper if $t^2 (q + k) < q k$, that is, if $t < \sqrt{q k / (q + k)}$. The convolution has $q = 9 \cdot 64 = 576$ and $k = 64$, so $t$ up to 7: only where the image has become tiny. A linear layer has $t = 1$, for which it pays
# as soon as $q, k > 2$. So convolutions near the input form gradients, and those at the end, and linear layers, do not (`inner`).

# %%
from torch import nn

from lpntk.phenomena.cost.ways import plan

pixels, channels = samples.in_shape[1] * samples.in_shape[2], samples.in_shape[0]
wide, coarse = nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 64, 3, stride=4, padding=1)
side = (samples.in_shape[1] + 3) // 4
net = nn.Sequential(
    nn.Conv2d(channels, 64, 3, padding=1),
    nn.ReLU(),
    wide,
    nn.ReLU(),
    coarse,
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(64 * side**2, 10),
)
plans = plan(net, x[:4], y[:4], n).sort_values("parameters", ascending=False)  # a bias may have a row of its own
form = plans.drop_duplicates("layer").set_index("layer")["form"]
sizes = {"0": (pixels, 9 * channels, 64), "2": (pixels, 576, 64), "4": (side**2, 576, 64), "7": (1, 64 * side**2, 10)}
found = [
    {
        "layer": name,
        "t": t,
        "q": q,
        "k": k,
        "gradients: q k": q * k,
        "parts: t² (q + k)": t**2 * (q + k),
        "form chosen": form[name],
    }
    for name, (t, q, k) in sizes.items()
]
table(found, "layer", dict.fromkeys(["gradients: q k", "parts: t² (q + k)"], "{:,}"))

# %% [markdown] tags=["exercise-cost"]
# ### Half the error
#
# You want half the error of a sketch. How many numbers do you need? For which pairs is it still not enough to tell the sign of the kernel?

# %% [markdown] tags=["answer"]
# #### Answer
#
# The standard error of an entry is $c\, |\varphi|\, |\varphi'| / \sqrt m$ for $m$ numbers: half of it costs about four times the numbers, as long as they are far fewer than the parameters (with nearly as many it falls faster). The factor $c$ depends on the map and on
# the angle. For one dense Gaussian map $c^2 = 1 + \cos^2$, exactly; the map used here goes layer by layer, and its $c$ is larger for a small angle as well. But $c$ does not vanish at a right angle. So the sign of a pair is safe only
# if its cosine is several times $c/\sqrt m$, and pairs near a right angle are the first to lose theirs.
#
# One draw of the map serves all entries, and their errors within it are alike: at 64 and 256 numbers one draw loses no sign of the small cosines, another loses most of them. The last two columns show how far draws differ, so look at
# means over many.

# %%
from lpntk.kernel.sketch import Sketch

i, j = torch.triu_indices(n, n, 1)
true, length, draws = cosine(kappa)[i, j], kappa.diagonal().sqrt(), 64
bands = {
    "below 0.1": true.abs() < 0.1,
    "0.1 to 0.3": (true.abs() >= 0.1) & (true.abs() < 0.3),
    "above": true.abs() >= 0.3,
}
found = []
for size in (64, 256, 1024):
    rough = [kernel_matrix(trained, x, y, sketch=Sketch(size, seed=draw)) for draw in range(draws)]
    rough = torch.stack([(sketched / length[:, None] / length)[i, j] for sketched in rough])  # (draws, pairs)
    for name, band in bands.items():
        error = float((rough - true)[:, band].square().mean().sqrt())
        lost = ((rough * true)[:, band] < 0).float().mean(dim=1)  # by draw
        signs = {"signs lost": lost.mean(), "in the best draw": lost.min(), "in the worst draw": lost.max()}
        found.append({"numbers": str(size), "cosine": name, "error": error, "c": error * size**0.5, **signs})
print(f"{draws} draws; pairs: {', '.join(f'{int(band.sum()):,} {name}' for name, band in bands.items())}")
record.update("cost.sketch", {row["numbers"]: row["error"] for row in found if row["cosine"] == "below 0.1"})
formats = {"error": "{:.3f}", "c": "{:.1f}"} | dict.fromkeys(signs, "{:.1%}")
table(found, "numbers", formats)

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | $\kappa$, normalised or not, by all signs | `kernel_matrix` | `test_symmetric_kernel_is_the_oracles` |
# | clusters, and how unequal they are | `clusters`, `gini` | `test_it_is_the_definition_sample_by_sample`, `test_the_gini_coefficient` |
# | what is poisoned | `poison` | `test_flips_are_as_many_as_asked_and_of_the_kind_asked`, `test_copies_are_near_one_sample_of_their_class` |
# | clouds, and networks that learn them | `clouds`, `train_points` | `test_points_lie_around_their_means`, `test_points_are_learned_as_torch_does_it` |
# | looks of a class, the oracle's draws | `modes`, `reweighted` | `test_planted_modes_are_found`, `test_the_oracle_lets_modes_weigh_alike` |
# | influence; Data-IQ | `influence`, `beside.samples:data_iq` | `test_influence_is_that_of_the_damped_hessian`, `test_data_iq_is_what_its_definition_says` |
# | forms of layers; sketches | `plan`, `Sketch` | `test_the_plan_accounts_for_every_parameter`, `test_the_error_falls_like_one_over_the_root_of_the_size` |
# | all exercises on pages | `kernel_matrix` | `test_every_question_has_two_or_three_exercises_with_an_answer_that_ran` |
