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
# # The kernel
#
# A network learns one labelled sample with one gradient step. What does that step do to another sample? To first order
# the answer is an inner product of two vectors, one per labelled sample ([theory](../book/theory.md)):
#
# $$
# \kappa\big((x,y),(x',y')\big) = \big\langle \varphi(x,y),\, \varphi(x',y') \big\rangle ,
# \qquad
# \varphi(x,y) = \nabla_w \, \frac{1}{\sqrt K}\, s(y)^{\top} z(x; w) ,
# $$
#
# where $s(y)$ is $+1$ at the label and $-1$ at every other class. This is the labelled pseudo neural tangent kernel,
# lpNTK, of Guo, Ren, Albrecht and Smith (ICLR 2024). The cosine of the angle between two such vectors tells what the
# two samples are to each other: *interchangeable* (near 1), *unrelated* (near 0) or *contradictory* (below 0).
#
# On this page we train a network, compute the kernel over part of its training set and look at it.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
n = 600  # training samples in the kernel
epochs = 60
lr = 0.1
batch_size = 128
momentum = 0.9
weight_decay = 0.0005
seed = 0
device = "auto"
results = "../results/interactive/01-kernel"

# %%
import pandas as pd
import torch
from IPython.display import Markdown

from lpntk import data, models, plots, relations
from lpntk.kernels import kernel_matrix
from lpntk.results import Results
from lpntk.training import accuracy, train

plots.use_style()
record = Results(results)

# %% [markdown]
# ## A trained network
#
# The kernel belongs to a network at a moment of its training. We take it at the end, as the paper does at its best
# checkpoint.

# %%
samples = data.load(dataset)
net = models.build(model, samples.in_shape, samples.k, seed=seed)
everything = torch.arange(len(samples.y_train))[None]  # one model, all training samples
history = train(
    [net],
    samples.x_train,
    samples.y_train,
    everything,
    seeds=[seed],
    epochs=epochs,
    lr=lr,
    batch_size=batch_size,
    momentum=momentum,
    weight_decay=weight_decay,
    device=device,
)
record.update(
    "network",
    {
        "parameters": models.count_parameters(net),
        "train_size": len(samples.y_train),
        "test_size": len(samples.y_test),
        "train_accuracy": accuracy(net, samples.x_train, samples.y_train),
        "test_accuracy": accuracy(net, samples.x_test, samples.y_test),
    },
)
pd.DataFrame({f"{model} on {dataset}": {key: f"{value:,.5g}" for key, value in record.numbers.items()}})

# %% [markdown]
# ## The kernel over a sample of the training set
#
# One call. Each of the $n$ samples contributes one gradient; the matrix holds the inner products of all pairs.

# %%
rows = samples.sample(n, seed)
x, y = samples.x_train[rows], samples.y_train[rows]
kappa = kernel_matrix(net, x, y, device=device)
cosines = relations.cosine(kappa)
record.number("kernel.n", n)
record.number("kernel.own_nearest", relations.own_nearest(kappa))

# %% [markdown]
# Sorted by class, and inside a class by how much a sample agrees with its class, the matrix shows blocks on its diagonal:
# samples of one label push the network the same way. The blocks off the diagonal show which classes share a direction
# and which pull against each other.

# %%
order = relations.by_class(y, cosines)
record.figure("matrix", plots.matrix_by_class(cosines, y, order, samples.classes))
# %% [markdown]
# ## Same label, different label
#
# Two labels still share $K - 2$ of their $K$ signs. At initialisation this alone makes a pair of different labels keep
# the fraction $1 - 4/K$ of the kernel of a pair of one label ([why](../book/theory.md)); training then pulls the two
# distributions apart.

# %%
kappa_pairs, cosine_pairs = relations.pairs(kappa, y), relations.pairs(cosines, y)
record.figure("distributions", plots.distributions(kappa_pairs, cosine_pairs))
# %%
groups = {"same": cosine_pairs.same, "different": cosine_pairs.different}
for group, values in groups.items():
    record.update(f"cosine.{group}", {"pairs": len(values), "mean": values.mean(), "median": values.median()})
    record.update(f"share.{group}", relations.shares(values))
    record.number(f"share.{group}.negative", (values < 0).float().mean())
pd.DataFrame({group: relations.shares(values) for group, values in groups.items()}).style.format("{:.1%}")

# %% [markdown]
# ## Neighbours
#
# For one sample of each of a few classes: the six samples whose update is most like its own, and the six whose update
# opposes it most, with the cosine above each image (blue: same label, vermilion: another label).

# %%
chosen = [int((y == label).nonzero()[0]) for label in range(min(5, samples.k))]
record.figure("neighbours", plots.gallery(samples, x, y, cosines, chosen))
# %%
nearest = torch.tensor([int(relations.neighbours(cosines, i, 1)) for i in range(n)])
farthest = torch.tensor([int(relations.neighbours(cosines, i, 1, most=False)) for i in range(n)])
record.number("nearest.same_label", (y[nearest] == y).float().mean())
record.number("farthest.same_label", (y[farthest] == y).float().mean())
Markdown(
    f"Of {n} samples, **{record.numbers['nearest.same_label']:.1%}** have their most interchangeable neighbour in their "
    f"own class and **{record.numbers['farthest.same_label']:.1%}** their most contradictory one. Pairs of one label have "
    f"a mean cosine of {record.numbers['cosine.same.mean']:.2f}, pairs of two labels "
    f"{record.numbers['cosine.different.mean']:.2f}; {record.numbers['share.different.negative']:.1%} of the latter "
    f"and {record.numbers['share.same.negative']:.1%} of the former lie beyond a right angle."
)
