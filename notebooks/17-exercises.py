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
# # Exercises on the kernel and on learning
#
# Questions on the pages from [what the kernel sees](../book/questions/kernel.md) to [forgetting](../book/questions/forgetting.md),
# each with an answer in words and the code that bears it out. Try to predict what the code finds before you read on; then change one
# thing and run it again. Those on data are in the notebook 18-exercises-data.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"
options = {}  # of the architecture: hidden widths
n = 200  # training samples in the kernel
epochs = 30
width = 1024  # of the untrained networks that should be wide
seeds = 4  # networks, where several are compared
seed = 0
results = "../results/interactive/17-exercises"

# %%
from lpntk.report.results import Results

record = Results(results)  # keeps numbers; no answer needs it

# %% [markdown] tags=["setup"]
# ## What the code starts from
#
# `initial` is a network before its training and `trained` the same network after it. `x` and `y` are some of its training samples. Each answer runs after this, by itself.

# %%
import copy
import math
from itertools import pairwise

import pandas as pd
import torch
from torch import nn

from lpntk.data.dataset import load
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import pairs, shares
from lpntk.learn.models import build
from lpntk.learn.training import train
from lpntk.phenomena.one_step.step import forces, logit_velocity, sgd_step, softmax_velocity
from lpntk.report.tables import table

samples = load(dataset)
initial = build(model, samples.in_shape, samples.k, seed=seed, **options).eval()
trained = copy.deepcopy(initial)
everything = torch.arange(len(samples.y_train))[None]
train([trained], samples.x_train, samples.y_train, everything, seeds=[seed], epochs=epochs, lr=0.1, device="cpu")
chosen = samples.sample(n, seed)
x, y = samples.x_train[chosen], samples.y_train[chosen]

# %% [markdown]
# ## [What does the kernel see?](../book/questions/kernel.md)

# %% [markdown] tags=["exercise-kernel"]
# ### Told or learned?
#
# Somebody takes an untrained network, shuffles the labels of the samples at random, and finds that pairs of one (wrong) label still have a
# larger mean cosine than pairs of two. "So the kernel finds structure even in noise." What is wrong with that? Predict how large
# the gap is, compared with the mean cosine of one label.

# %% [markdown] tags=["answer"]
# #### Answer
#
# The kernel was *told* the labels, shuffled or not. With ten classes, two labels keep about $1 - 4/10 = 0.6$ of the kernel that the same images
# would have under one label. Shuffled labels say nothing of the images, so both groups hold the same kinds of images, and their means
# differ by this factor alone: the gap is about 0.4 of the mean of one label. True labels add something, because images of one class are alike.
# Only what goes beyond the shuffled gap tells of the data.

# %%
shuffled = y[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]
found = []
for name, labels in {"shuffled": shuffled, "true": y}.items():
    split = pairs(kernel_matrix(initial, x, labels, normalize=True), labels)
    one, two = float(split.same.mean()), float(split.different.mean())
    found.append({"labels": name, "one label": one, "two labels": two, "two / one": two / one})
table(found, "labels", "{:.2f}")

# %% [markdown] tags=["exercise-kernel"]
# ### The same function, another kernel
#
# In a ReLU network, multiply the weights and biases of the first layer by 4, and divide the weights of the second by 4. What becomes of the
# predictions? Of the kernel? Write the new kernel as a sum of shares of the layers of the old one.

# %% [markdown] tags=["answer"]
# #### Answer
#
# A ReLU passes a positive factor on, so every logit stays as it was. The gradients do not. Those of the first layer are divided by 4, those of the
# second layer's weights multiplied by 4, all others stay:
#
# $$
# \kappa \;\longrightarrow\; \tfrac1{16}\, \kappa_1 + 16\, \kappa_2 + \kappa_{\text{rest}} ,
# $$
#
# where $\kappa_1$ is the share of the first layer and $\kappa_2$ that of the second layer's weights. So cosines change too, unless the shares of all layers are
# multiples of one matrix. The kernel
# belongs to the *parameters*, as SGD does: its steps are others after such a change. Two networks that answer alike need not have the same kernel.

# %%
scaled = copy.deepcopy(trained)
first, second = [layer for layer in scaled if isinstance(layer, nn.Linear)][:2]
with torch.no_grad():
    first.weight *= 4
    first.bias *= 4
    second.weight /= 4
    print(f"largest change of a logit: {float((scaled(x) - trained(x)).abs().max()):g}")
before, after = (pairs(kernel_matrix(net, x, y, normalize=True), y) for net in (trained, scaled))
for labels in ("same", "different"):
    old, new = getattr(before, labels), getattr(after, labels)
    print(f"{labels} labels: mean cosine {old.mean():.3f} before and {new.mean():.3f} after, ", end="")
    print(f"correlation over pairs {torch.corrcoef(torch.stack([old, new]))[0, 1]:.3f}")

# %% [markdown]
# ## [What does one step do?](../book/questions/one-step.md)

# %% [markdown] tags=["exercise-one-step"]
# ### Half the learning rate
#
# You halve the learning rate of a step. What becomes of the change of the predictions, of the error of the first-order formula, and of the
# error as a share of the change?

# %% [markdown] tags=["answer"]
# #### Answer
#
# The change is of first order in the rate: it is halved. The error is of second order: a quarter remains. So as a share of the change it is halved. This
# holds once the rate is small enough for the third order not to count. An input that meets a kink of a ReLU early on its way is an exception: its error falls by little more than half,
# as a kink bends at once. Over very many inputs the mean is of second order again; over few, single kinks show in the last column.

# %%
from lpntk.phenomena.one_step.readings import changes

rates = [0.004, 0.002, 0.001, 0.0005]
net, double = copy.deepcopy(initial).double(), x.double()
step = changes(net, double[:1], y[:1], double[1:], rates)  # on the first sample; what it does to all others
error = (step.true - torch.tensor(rates).view(-1, 1, 1) * step.rate).norm(dim=2)  # (rates, inputs)
smooth = ~step.kinked.any(dim=0)
means = {
    "change": step.true.norm(dim=2).mean(1),
    "error, no kink": error[:, smooth].mean(1),
    "error, all": error.mean(1),
}
print(f"{int(smooth.sum())} of {len(smooth)} inputs meet no kink; each mean over that of half the rate:")
found = [
    {"rate": f"{a} / {b}", **{k: float(m[i] / m[i + 1]) for k, m in means.items()}}
    for i, (a, b) in enumerate(pairwise(rates))
]
table(found, "rate", "{:.2f}")

# %% [markdown] tags=["exercise-one-step"]
# ### A contradiction that helps
#
# Build two samples of different labels, with three classes, whose kernel is negative, but of which a step on the second raises the probability of the first's
# label. (A linear network will do. What do both samples believe?)

# %% [markdown] tags=["answer"]
# #### Answer
#
# Let both be mistaken for the *third* class. Then both steps push the third logit down, and that outweighs the quarrel about the other two. Take a
# linear network with a bias, and inputs at a right angle. Then $\Theta = (x^\top x' + 1)\, I = I$, and
#
# $$
# \kappa = \tfrac13\, s(1)^\top s(2) = -\tfrac13 ,
# \qquad
# \frac{d \log q_1(x)}{d\eta} = (e_1 - q)^\top (e_2 - q') .
# $$
#
# With $q = q' = (\epsilon, \epsilon, 1 - 2\epsilon)$ the rate is $(1 - 2\epsilon)^2 - 2\epsilon(1 - \epsilon)$, close to 1 for a small $\epsilon$. The kernel keeps the signs of the error, which weigh all
# wrong classes alike.

# %%
net = nn.Linear(2, 3).double()
with torch.no_grad():
    net.weight.copy_(torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 3.0]]))
    net.bias.zero_()
points, labels = torch.eye(2).double(), torch.tensor([0, 1])
print(f"kernel: {float(kernel_matrix(net, points, labels)[0, 1]):.4f}")
stepped = sgd_step(net, points[1:], labels[1:], lr=0.01)  # learns the second
own = [float(each(points[:1]).detach().log_softmax(1)[0, 0]) for each in (net, stepped)]
q = net(points).softmax(1).detach()
rate = float((torch.eye(3)[0] - q[0]) @ (torch.eye(3)[1] - q[1]))
print(f"log-probability of the first's label: {own[1] - own[0]:+.5f}, to first order {0.01 * rate:+.5f}")

# %% [markdown] tags=["exercise-one-step"]
# ### Who moves the others most?
#
# "A sample with a large kernel with itself has a long update, so a step on it moves the predictions of others far." Find the flaw. Then
# test it: rank samples by how far a step on each moves the probabilities of test samples.

# %% [markdown] tags=["answer"]
# #### Answer
#
# The length of $\varphi$ is that of a push with *signs*. A real step pushes with the error $e_y - q$, which is almost zero for a sample that is learned, however
# long its $\varphi$ is. So where errors differ by orders of magnitude, the reach of a step follows the error. Where they are alike, as in a network that has hardly learned, the
# length may be what tells samples apart.

# %%
from lpntk.phenomena.one_step.readings import rank_correlations

few, targets = list(range(40)), samples.x_test[:50]
for name, net in {"untrained": initial, "trained": trained}.items():
    pushes, q, reach = forces(net(x).detach(), y, "error"), net(targets).detach().softmax(1), []
    for i in few:
        v = logit_velocity(net, x[i : i + 1], y[i : i + 1], pushes[None, i : i + 1], targets)[0]
        reach.append(softmax_velocity(q, v).norm())
    wrong = pushes[few, y[few]]  # 1 - q_y
    length = kernel_matrix(net, x, y).diagonal()[few].sqrt()
    rho = rank_correlations(torch.stack([wrong, length]), torch.stack(reach))
    print(f"{name}: errors from {wrong.min():.1e} to {wrong.max():.1e}; ", end="")
    print(f"rank correlation of the reach with the error {rho[0]:.2f}, with the length {rho[1]:.2f}")

# %% [markdown]
# ## [Does lpNTK approach the eNTK?](../book/questions/theorem.md)

# %% [markdown] tags=["exercise-theorem"]
# ### What labels add
#
# In a wide untrained network, lpNTK tells pairs of one class from pairs of two better than pNTK, which knows no labels. "So lpNTK has seen more of the
# data." Is that so? Say what lpNTK knows in the limit, and measure how far a narrow and a wide network are from it.

# %% [markdown] tags=["answer"]
# #### Answer
#
# In the limit lpNTK is pNTK times a number that the labels alone decide: 1 for one label and $1 - 4/K$ for two. Nothing new was seen in the images. So
# compute $\kappa - a\,\kappa_{\text{pNTK}}$, as a share of $\kappa$, at two widths: it shrinks.

# %%
same = y[:, None] == y[None, :]
factor = torch.where(same, 1.0, 1 - 4 / samples.k)
for hidden in (16, width):
    net = build("mlp", samples.in_shape, samples.k, seed=seed, hidden=(hidden,))
    kappa, blind = kernel_matrix(net, x, y), kernel_matrix(net, x, y, signs="ones")
    rest = (kappa - factor * blind).norm() / kappa.norm()
    print(f"width {hidden}: {rest:.1%} of lpNTK is not told by pNTK and the labels")

# %% [markdown] tags=["exercise-theorem"]
# ### A sum that does not vary
#
# Let $u$ have independent entries $+1$ or $-1$, with equal chances, and let $N$ be a fixed matrix. For which $N$ does $u^\top N u$ not vary at all? Find them by the
# lemma on the variance of a quadratic form (what is $\gamma$ here?), and again without it.

# %% [markdown] tags=["answer"]
# #### Answer
#
# Here $\mathbb E u^4 = 1 = 3 + \gamma$, so $\gamma = -2$, the least that there is. The lemma gives
#
# $$
# \lVert N \rVert_F^2 + \operatorname{tr}(N^2) - 2 \sum_i N_{ii}^2 = \sum_{i < j} (N_{ij} + N_{ji})^2 ,
# $$
#
# which is zero if $N$ is a diagonal matrix plus an antisymmetric one. Without the lemma: $u_i^2 = 1$ makes the diagonal a constant, and an antisymmetric matrix adds nothing to any
# quadratic form. With Gaussian entries ($\gamma = 0$) a diagonal matrix would vary: their squares do.

# %%
from lpntk.phenomena.width.identity import Moments

draw = torch.Generator().manual_seed(seed)
u = 2.0 * torch.randint(2, (20_000, 6), generator=draw) - 1
free = torch.randn(6, 6, generator=draw)
found = []
for name, m in {"diagonal": free.diag().diag(), "antisymmetric": free - free.T, "any": free}.items():
    parts = {"trace": m.trace(), "square": m.norm() ** 2, "twice": (m @ m).trace(), "diagonal": (m.diag() ** 2).sum()}
    lemma = Moments(**parts, kurtosis=-2.0).variance(torch.ones(1, 1))
    found.append(
        {"N": name, "variance by the lemma": abs(float(lemma)), "of 20,000 draws": float(((u @ m) * u).sum(1).var())}
    )
table(found, "N", "{:.2f}")

# %% [markdown] tags=["exercise-theorem"]
# ### Orthogonal, and yet
#
# With four classes the factor $1 - 4/K$ is zero: in a wide untrained network, samples of two labels are at a right angle. Does a step on one sample
# leave samples of other labels alone? Predict sign and size of the change of their log-likelihood.

# %% [markdown] tags=["answer"]
# #### Answer
#
# No. The kernel contracts with signs, $s(y)^\top s(y') = 0$; a step contracts with errors. Where $\Theta = \theta I$ and the network still believes all classes alike,
#
# $$
# (e_y - \tfrac1K \mathbf 1)^\top (e_{y'} - \tfrac1K \mathbf 1) = - \tfrac1K ,
# $$
#
# so the log-likelihood of others falls by $\eta\,\theta / K$, a quarter of $\eta\,\theta$ here. The difference is the mean of the signs: centred signs have a negative product for every $K$.
#
# The quarter is roughly right on average, not for single pairs. An untrained network has its leanings: the code prints from where to where its probabilities run, and single pairs miss the quarter by a half and more.
# With the network's *own* $q$, as $\theta\, (e_y - q)^\top (e_{y'} - q')$, the fall is foreseen pair by pair. What then remains is not the leaning but the width: the wider the network, the nearer is $\Theta$ to
# $\theta I$, and the nearer is its last row to 1.

# %%
from lpntk.data.tasks import restrict
from lpntk.phenomena.relations.law import as_one_label

four = restrict(samples, [0, 1, 2, 3])
a, b = four.x_train[:60].double(), four.y_train[:60]
other, found = b != b[0], []
for hidden in (64, width):
    net = build("mlp", four.in_shape, four.k, seed=seed, hidden=(hidden,)).double()
    cosine, q = kernel_matrix(net, a, b, normalize=True)[0], net(a).detach().softmax(1)
    stepped = sgd_step(net, a[:1], b[:1], lr=1e-5)
    before, after = (each(a).detach().log_softmax(1)[range(60), b] for each in (net, stepped))
    change, theta = ((after - before) / 1e-5)[other], as_one_label(net, a, b)[0, other]
    own = (torch.eye(four.k)[b] - q) @ (torch.eye(four.k)[b[0]] - q[0])
    print(
        f"width {hidden}: probabilities from {q.min():.2f} to {q.max():.2f}; mean cosine with the first sample ", end=""
    )
    print(f"{cosine[other].mean():.3f} (other labels), {cosine[~other][1:].mean():.3f} (its own); ", end="")
    print(f"the step lowers the log-likelihood of {(change < 0).double().mean():.0%} of the others")
    for name, told in {"all q = 1/4": -theta / four.k, "its own q": theta * own[other]}.items():
        true = change / told
        row = {"mean": float(true.mean()), "smallest": float(true.min()), "largest": float(true.max())}
        found.append({"width": str(hidden), "predicted with": name, **row})
print("true change over what is predicted, over pairs:")
table(found, "width", dict.fromkeys(["mean", "smallest", "largest"], "{:.2f}"))

# %% [markdown]
# ## [Are contradictory pairs rare?](../book/questions/relations.md)

# %% [markdown] tags=["exercise-relations"]
# ### Odd or even
#
# Keep the images and ask an untrained network another question: is the digit odd or even? Predict the share of contradictory pairs among those
# with different answers, beside that of pairs of two digits. How does the cosine of such a pair follow from the one that it would have if both answers were the same?

# %% [markdown] tags=["answer"]
# #### Answer
#
# With two classes $s(y') = -s(y)$, so changing one label turns the sign of the kernel, exactly and in any network. The cosine of a pair with different answers is
# minus what it would be with one answer. Untrained networks find most images alike, so most such pairs are contradictory. The images are the same: it is the number of
# classes that makes contradiction common or rare.

# %%
odd = y % 2
halves = build(model, samples.in_shape, 2, seed=seed, **options)
ten = pairs(kernel_matrix(initial, x, y, normalize=True), y)
two = kernel_matrix(halves, x, odd, normalize=True)
one = kernel_matrix(halves, x, torch.zeros_like(y), normalize=True)  # all "even"
print(f"largest difference to minus the cosine of one answer: {float(pairs(two + one, odd).different.abs().max()):g}")
splits = {"which digit": ten, "odd or even": pairs(two, odd)}
table([{"question": name, **shares(split.different)} for name, split in splits.items()], "question", "{:.1%}")

# %% [markdown] tags=["exercise-relations"]
# ### A friend of a friend
#
# Sample $a$ is interchangeable with $b$ (a cosine of at least 0.5), and $b$ with $c$. What is the smallest cosine that $a$ and $c$ can have? Then count: how often are $a$ and $c$
# not interchangeable, in an untrained network?

# %% [markdown] tags=["answer"]
# #### Answer
#
# Angles obey the triangle inequality. Two of at most 60 degrees add up to at most 120, whose cosine is $-0.5$: friends of a friend may contradict each other. In general
#
# $$
# \cos_{ac} \;\ge\; \cos_{ab} \cos_{bc} - \sqrt{(1 - \cos_{ab}^2)(1 - \cos_{bc}^2)} .
# $$
#
# To make $a$ and $c$ interchangeable for sure, both others would need 30 degrees, a cosine of 0.87. So one sample can stand for a group whose members do not stand for each other.

# %%
cosine = kernel_matrix(initial, x, y, normalize=True).clamp(-1, 1)
apart = ~torch.eye(n, dtype=torch.bool)
alike = (cosine >= 0.5) & apart
friends = alike[:, :, None] & alike[None] & apart[:, None, :]  # a, b, c
ends = cosine[:, None, :].expand(n, n, n)[friends]
sine = (1 - cosine**2).sqrt()
least = (cosine[:, :, None] * cosine[None] - sine[:, :, None] * sine[None])[friends]
print(f"{friends.sum() // 2} friends of a friend, {(ends < 0.5).float().mean():.1%} of them not interchangeable")
print(f"smallest cosine {ends.min():.2f}; below the bound by {float((least - ends).max().clamp_min(0)):.0e} at most")

# %% [markdown] tags=["exercise-relations"]
# ### Forget the labels
#
# Average the kernel of a pair of images over all $K^2$ pairs of labels that they could have. What is left, and why is it exact in any network, trained or not?

# %% [markdown] tags=["answer"]
# #### Answer
#
# The kernel is linear in each sign vector, so the average takes their means. The mean of $s(y)$ over all labels has $(1 - (K - 1))/K = (2 - K)/K$ in every entry. Hence
#
# $$
# \frac1{K^2} \sum_{y, y'} \kappa\big((x, y), (x', y')\big) = \Big( \frac{K - 2}{K} \Big)^2 \kappa_{\text{pNTK}}(x, x') .
# $$
#
# With ten classes 0.64 of pNTK is left: the part that centred signs take out. With two classes nothing is.

# %%
few, k = 8, samples.k
labels = torch.arange(k).repeat(few)  # every image with every label
kappa = kernel_matrix(trained, x[:few].repeat_interleave(k, 0), labels, precision="float64")
mean = kappa.view(few, k, few, k).mean(dim=(1, 3))
ratio = mean / kernel_matrix(trained, x[:few], y[:few], signs="ones", precision="float64")
print(f"from {float(ratio.min()):.6f} to {float(ratio.max()):.6f}; expected {(1 - 2 / k) ** 2:.6f}")
record.number("relations.mean-over-labels", float(ratio.mean()))

# %% [markdown]
# ## [Does difficulty belong to the sample?](../book/questions/difficulty.md)

# %% [markdown] tags=["exercise-difficulty"]
# ### A decline from nothing
#
# "The correlation with the universal set falls as sets get smaller, so company makes difficulty." Build a world in which difficulty belongs to the sample alone, and the
# correlation falls all the same. Which number on the page sees through it?

# %% [markdown] tags=["answer"]
# #### Answer
#
# Let every sample have a difficulty of its own, measured with noise that is larger in smaller sets. The correlation falls by the noise alone. Learning every set twice gives the
# reliabilities, and $\rho^* = \rho / \sqrt{r(N)\, r(X)}$ stays near 1: without noise there is no decline. But where $r$ is small, $\rho^*$ is uncertain, which is why sizes below a
# reliability of 0.2 carry no verdict.

# %%
draw = torch.Generator().manual_seed(seed)
own = torch.randn(4000, generator=draw)  # what belongs to the sample
measured = lambda noise: own + noise * torch.randn(4000, generator=draw)
corr = lambda a, b: float(torch.corrcoef(torch.stack([a, b]))[0, 1])
whole, again = measured(0.3), measured(0.3)
found = []
for noise in (0.3, 1.0, 2.0, 4.0):
    one, two = measured(noise), measured(noise)
    rho, r = (corr(whole, one) + corr(whole, two)) / 2, corr(one, two)
    found.append({"noise": str(noise), "rho": rho, "reliability": r, "rho*": rho / math.sqrt(corr(whole, again) * r)})
table(found, "noise", "{:.2f}")

# %% [markdown] tags=["exercise-difficulty"]
# ### Weights or order?
#
# Two networks that learn the same set differ in two things: their first weights, and the order of the samples. Which of the two, do you think, makes
# difficulties differ more? Change one and hold the other.

# %% [markdown] tags=["answer"]
# #### Answer
#
# Train networks of several first weights in several orders, and correlate the difficulties of every two. Each row below is the mean over pairs of networks that differ in what the row calls
# *other*. The lower the correlation, the more that thing matters: here it is the first weights. An order is drawn anew in every epoch, so that its chances average out;
# first weights are drawn once. The page changes both at once and calls them the seed, so its reliabilities are of the kind where both are *other*.

# %%
grid = [(weights, order) for weights in range(seeds) for order in range(seeds)]
nets = [build(model, samples.in_shape, samples.k, seed=weights, **options) for weights, _ in grid]
sets = torch.arange(n).expand(len(grid), -1)
history = train(nets, x, y, sets, seeds=[o for _, o in grid], epochs=epochs, lr=0.1, batch_size=16, device="cpu")
rho = pd.DataFrame(history.difficulty().T.numpy()).corr("spearman").to_numpy()
found = [
    {"weights": "same" if a[0] == b[0] else "other", "order": "same" if a[1] == b[1] else "other", "rho": rho[i, j]}
    for i, a in enumerate(grid)
    for j, b in enumerate(grid[:i])
]
means = pd.DataFrame(found).groupby(["weights", "order"], sort=False)["rho"].mean().reset_index()
lone = means[means["weights"] != means["order"]].set_index("weights")["rho"]  # one of the two is other
print(f"other weights lower the correlation to {lone['other']:.3f}, another order to {lone['same']:.3f}")
table(means.sort_values("rho", ascending=False), "weights", {"rho": "{:.3f}"})

# %% [markdown] tags=["exercise-difficulty"]
# ### Just train it longer
#
# A set that fits into one batch has learned little after 30 epochs, with a rate that is multiplied by 0.7 after every second epoch. "Train it for 300 epochs
# instead." How much further does it get? And if the rate fell after every fourth epoch?

# %% [markdown] tags=["answer"]
# #### Answer
#
# One batch is one step an epoch. With $m$ epochs between two falls by $\gamma$, the rates add up to less than $m \eta_0 (1 + \gamma + \gamma^2 + \dots) = m\,\eta_0 / (1 - \gamma)$,
# however long it goes on. After $E$ epochs ($E$ a multiple of $m$) the part $\gamma^{E/m}$ of this is missing: $0.7^{15}$, half a per cent. Ten times the epochs add just that. A slower fall moves the limit
# itself.

# %%
from lpntk.learn.schedules import rate

found = []
for every, factor in ((2, 0.7), (4, 0.7), (2, 0.9)):
    rates = [rate("step", 1.0, epoch, 300, factor=factor, every=every) for epoch in range(300)]
    row = {"30 epochs": sum(rates[:30]), "300 epochs": sum(rates), "limit": every / (1 - factor)}
    found.append({"falls": f"to {factor} after {every} epochs", **row})
table(found, "falls", "{:.3f}")

# %% [markdown]
# ## [Can difficulty be chosen?](../book/questions/company.md)

# %% [markdown] tags=["exercise-company"]
# ### The best company
#
# Nobody is as interchangeable with a target as its own copies. Does a target get cheaper in the company of ten copies of itself, compared with learning alone? And can
# other samples of its class beat its copies?

# %% [markdown] tags=["answer"]
# #### Answer
#
# A step follows the *mean* gradient of its batch, and the mean of eleven equal gradients is one of them. So ten copies are the same as no company, up to rounding. They have the largest
# possible cosine with the target, but need not have the largest kernel: $\kappa_{ij}$ exceeds $\kappa_{ii}$ where $\lVert \varphi_j \rVert \cos_{ij} > \lVert \varphi_i \rVert$. Company with
# longer gradients in nearly the same direction could push further than the target itself. Here it does not. Hardly a sample, if any, has a larger kernel with the target than the target
# has (the last column shows the largest), and the mean over the ten best stays below. Those ten make the target a little costlier than it is alone, and the ten least ones make it costlier still.
# (The kernel here is that of a network that was trained on all samples, not of those that learn this set.)

# %%
rows = (samples.y_train == 3).nonzero()[:60, 0]
kappa = kernel_matrix(trained, samples.x_train[rows], samples.y_train[rows])
target = int(kappa.diagonal().argsort()[len(rows) // 2])  # a gradient of middle length
order = kappa[target].argsort(descending=True)
order = order[order != target]
company = {"alone": order[:0], "ten copies": torch.tensor([target] * 10), "most": order[:10], "least": order[-10:]}
found, cost, many = [], {}, 4 * seeds
for name, with_it in company.items():
    nets = [build(model, samples.in_shape, samples.k, seed=s, **options) for s in range(many)]
    sets = rows[torch.cat([torch.tensor([target]), with_it])].expand(many, -1)
    history = train(nets, samples.x_train, samples.y_train, sets, seeds=range(many), epochs=10, lr=0.02, device="cpu")
    cost[name] = history.difficulty()[:, 0]
    more = cost[name] - cost["alone"]  # the same networks
    row = {"difficulty": cost[name].mean(), "more than alone": more.mean(), "standard error": more.std() / many**0.5}
    kernel = kappa[target, with_it]
    largest = float(kernel.max()) if len(with_it) else math.nan
    found.append({"company": name, **row, "mean kernel with it": float(kernel.mean()), "largest": largest})
above = int((kappa[target, order] > kappa[target, target]).sum())
print(f"kernel of the target with itself: {kappa[target, target]:.1f}, exceeded by {above} of {len(order)} others")
table(found, "company", dict.fromkeys(row, "{:z.2f}") | dict.fromkeys(["mean kernel with it", "largest"], "{:.1f}"))

# %% [markdown] tags=["exercise-company"]
# ### A fair rival
#
# A target costs less alone than among ten random samples. "So company does harm." What else has changed? Change only one thing and look again.

# %% [markdown] tags=["answer"]
# #### Answer
#
# Alone, the target is the whole of each step; among ten others it is one part in eleven. So hold its own part: let it learn alone with a rate of $\eta / 11$. What company adds or takes is the
# difference to *that*. The last two rows are the fair pair. In the first row the step on the target is eleven times as long.
# Against its fair rival company does not harm here, it helps a little: by more than the standard error over networks that the code prints. (It is one target and one draw of ten samples.)

# %%
rows = (samples.y_train == 3).nonzero()[:60, 0]
length = kernel_matrix(trained, samples.x_train[rows], samples.y_train[rows]).diagonal()
target = rows[length.argsort()[len(rows) // 2]]  # a gradient of middle length
rows = torch.cat([target[None], samples.sample(10, seed)])
cost, many = {}, 4 * seeds
for name, size, lr in (
    ("alone", 1, 0.02),
    ("alone, its part of the step", 1, 0.02 / 11),
    ("among ten random samples", 11, 0.02),
):
    nets = [build(model, samples.in_shape, samples.k, seed=s, **options) for s in range(many)]
    sets = rows[:size].expand(many, -1)
    history = train(nets, samples.x_train, samples.y_train, sets, seeds=range(many), epochs=10, lr=lr, device="cpu")
    cost[name] = history.difficulty()[:, 0]
found = [{"target": name, "difficulty": own.mean(), "sd over networks": own.std()} for name, own in cost.items()]
for rival in list(cost)[:2]:
    more = cost["among ten random samples"] - cost[rival]  # the same networks
    print(f"company costs {more.mean():+.2f} beside {rival!r}, standard error {more.std() / many**0.5:.2f}")
table(found, "target", "{:.2f}")

# %% [markdown]
# ## [Can forgetting be foreseen?](../book/questions/forgetting.md)

# %% [markdown] tags=["exercise-forgetting"]
# ### The silent predictor
#
# A predictor never predicts that anything is forgotten. Each of the 32 samples of a step is forgotten with a chance $p$, independently. What precision and recall does it get if they are averaged
# over steps, an empty step counting as 1? And by pooled counts?

# %% [markdown] tags=["answer"]
# #### Answer
#
# It predicts nothing, so every step counts as precision 1. Recall is 1 in a step without an event, which has the chance $(1 - p)^{32}$, and 0 in others. For rare events both are near 1. Pooled counts give a
# recall and an $F_1$ of 0, and no precision at all.

# %%
import numpy as np

from lpntk.phenomena.forgetting.judge import count, rates, step_averaged

stream, found = np.random.default_rng(seed), []
for p in (0.0003, 0.003, 0.03):
    events = stream.random((5000, 32)) < p
    silent = np.zeros_like(events)
    precision, recall = step_averaged(events, silent)
    f1 = float(rates(**count(events, silent))["f1"])
    found.append({"p": str(p), "precision": precision, "recall": recall, "expected": (1 - p) ** 32, "pooled F1": f1})
table(found, "p", "{:.3f}")

# %% [markdown] tags=["exercise-forgetting"]
# ### Why the hyperbolic sine?
#
# Show that for two classes, expanded on probabilities, an event with margin $m$ is predicted once the loss of margin exceeds $\sinh m$. Does a third class, whose logit stays, make that earlier or
# later?

# %% [markdown] tags=["answer"]
# #### Answer
#
# Let $d = (q_1 - q_2)/(q_1 + q_2) = \tanh(m/2)$ and $r = q_1 + q_2$, and let $\delta$ be shared by both logits: $v = (-\tfrac12, \tfrac12)\,\delta$, all others 0. With
# $\bar v = q^\top v = -\tfrac12 \delta\, r d$,
#
# $$
# \hat q_1 - \hat q_2 = r d - \tfrac12 \delta\, r + \tfrac12 \delta\, r^2 d^2 = 0
# \quad\Longleftrightarrow\quad
# \delta = \frac{2 d}{1 - r d^2} .
# $$
#
# With two classes $r = 1$ and this is $\sinh m$. A third class makes $r < 1$ and the crossing *earlier*, but never earlier than $2 \tanh(m/2)$. (With two classes only the difference of
# the logits counts; with three it matters that both share the loss.)

# %%
found = []
for m in (0.5, 1.0, 2.0, 4.0):
    row = {"margin": str(m), "sinh": math.sinh(m)}
    for name, logits in {"two classes": [m, 0.0], "three": [m, 0.0, 0.0]}.items():
        q = torch.tensor(logits, dtype=torch.float64).softmax(0)
        v = torch.zeros(len(q), dtype=torch.float64)
        v[:2] = torch.tensor([-0.5, 0.5])
        moved = softmax_velocity(q, v)
        row[name] = float((q[0] - q[1]) / (moved[1] - moved[0]))
    found.append(row | {"2 tanh": 2 * math.tanh(m / 2)})
table(found, "margin", "{:.3f}")

# %% [markdown] tags=["exercise-forgetting"]
# ### Once predicted, always predicted?
#
# Raise the learning rate of one step. Can a sample that the first-order expansion of the logits predicts to be forgotten at a small rate be predicted to be *kept* at a larger one? And in truth?

# %% [markdown] tags=["answer"]
# #### Answer
#
# Not to first order. The predicted margin at the rate $\eta$ is $\min_{c \ne y} \big[ z_y - z_c + \eta\,(v_y - v_c) \big]$, a minimum of lines in $\eta$, hence concave. It is positive at $\eta = 0$; a concave
# function that has come down to zero does not rise again. So the predicted set only grows. The true margin has no such duty: a real step of a network can bend back, so that a sample is forgotten at one rate and
# kept at a larger one. It is rare, as the last column says, which counts over all first steps of a network that has begun to learn.

# %%
from lpntk.phenomena.forgetting.events import margin

a, b, net = samples.x_train, samples.y_train, copy.deepcopy(initial)
train([net], a, b, everything, seeds=[seed], epochs=3, lr=0.02, device="cpu")
z = net(a).detach()
known = margin(z, b) > 0
names = ("predicted", "forgotten", "both", "predicted before, not now", "forgotten before, not now")
found = {lr: dict.fromkeys(names, 0) for lr in (0.03, 0.1, 0.3, 1.0, 3.0)}
steps = torch.arange(len(a)).split(32)
for batch in steps:
    v = logit_velocity(net, a[batch], b[batch], forces(z[batch], b[batch], "error")[None], a)[0]
    told_before = true_before = torch.zeros(len(b), dtype=torch.bool)
    for lr, row in found.items():
        told = known & (margin(z + lr * v, b) <= 0)
        true = known & (margin(sgd_step(net, a[batch], b[batch], lr)(a).detach(), b) <= 0)
        for name, mask in zip(names, (told, true, told & true, told_before & ~told, true_before & ~true), strict=True):
            row[name] += int(mask.sum())
        told_before, true_before = told_before | told, true_before | true
print(f"{int(known.sum())} samples are known; each is watched in {len(steps)} steps")
table([{"rate": str(lr), **row} for lr, row in found.items()], "rate", "{:,}")

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | $\kappa$, normalised or not, by all signs | `kernel_matrix` | `test_symmetric_kernel_is_the_oracles` |
# | a true step; the first-order formula | `sgd_step`, `logit_velocity`, `softmax_velocity` | `test_the_formula_is_the_derivative_of_the_true_step`, `test_forward_products_are_the_explicit_blocks` |
# | variance of a quadratic form | `identity:Moments` | `test_a_quadratic_form_has_the_moments_of_its_lemma` |
# | relations of pairs | `reading:shares`, `pairs` | `test_the_three_relations_of_hand_made_gradients` |
# | averages over steps | `step_averaged` | `test_the_step_averaged_convention_rewards_silence` |
# | all exercises on pages | `kernel_matrix` | `test_every_question_has_two_or_three_exercises_with_an_answer_that_ran` |
