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
# # Kernel
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
# two samples are to each other: *interchangeable* (near 1), *unrelated* (near 0) or *contradictory* (clearly below 0).
#
# On this page we compute the kernel of a network over part of its training set, before and after training, and look at it.
#
# **The rule for the verdict** at the end. The kernel is told the labels, so its signs part pairs of one label from pairs of two
# before any training; that it does so says nothing of what was learned. We ask what training adds to the gap between the mean
# cosines of both. That training *widens* the gap holds if it grows by at least 0.1, fails if it shrinks by as much, and else is
# undecided.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {}  # of the architecture: hidden widths of the mlp, width of the resnet18, ...
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
import copy

import torch
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.kernel import reading as relations
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn import models
from lpntk.learn.training import accuracy, train
from lpntk.report import panels, plots
from lpntk.report.results import Results
from lpntk.report.tables import table
from lpntk.report.verdict import FAILS, HOLDS, UNDECIDED

plots.use_style()
record = Results(results)
RULE = {"widens": 0.1}  # growth of the gap, at least; what shrinks by as much fails

# %% [markdown]
# ## A network, before and after training
#
# The kernel belongs to a network at a moment of its training. We take it at the initialisation and at the end.

# %%
samples = data.load(dataset)
initial = models.build(model, samples.in_shape, samples.k, seed=seed, **options).eval()
trained = copy.deepcopy(initial)
everything = torch.arange(len(samples.y_train))[None]  # one model, all training samples
history = train(
    [trained],
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
nets = {"initial": initial, "trained": trained}
for moment, net in nets.items():
    right = accuracy(net, samples.x_train, samples.y_train)
    record.number(f"network.{moment}.test_accuracy", accuracy(net, samples.x_test, samples.y_test))
    print(
        f"{moment}: {right:.1%} of {len(samples.y_train)} training and "
        f"{record.text(f'network.{moment}.test_accuracy', '.1%')} of {len(samples.y_test)} test samples right"
    )

# %% [markdown]
# ## The kernel over a sample of the training set
#
# One call. Each of the $n$ samples contributes one gradient; the matrix holds the inner products of all pairs.

# %%
rows = samples.sample(n, seed)
x, y = samples.x_train[rows], samples.y_train[rows]
kappas = {moment: kernel_matrix(net, x, y, device=device) for moment, net in nets.items()}
cosines = {moment: relations.cosine(kappa) for moment, kappa in kappas.items()}
record.number("kernel.n", n)

# %% [markdown]
# Sorted by class, and inside a class by how much a sample agrees with its class. Red: the two updates point the same way.
# Blue: they oppose each other.

# %%
order = relations.by_class(y, cosines["trained"])
record.figure("matrix", plots.matrix_by_class(cosines["trained"], y, order, samples.classes))

# %% [markdown]
# ## Same label, different label
#
# Two labels still share $K - 2$ of their $K$ signs. In a wide network at initialisation this makes a pair of different labels
# keep the fraction $1 - 4/K$ of the kernel that a pair of one label with equally similar inputs has
# ([why](../book/theory.md)). The first two panels show the cosine before and after training, the third the kernel itself.

# %%
pairs = {moment: relations.pairs(c, y) for moment, c in cosines.items()}
shown = {
    "at initialisation": pairs["initial"],
    "trained": pairs["trained"],
    "trained, not normalised": relations.pairs(kappas["trained"], y),
}
record.figure("distributions", panels.distributions(shown, ["cosine", "cosine", r"kernel $\kappa$"]))

# %%
groups = {
    f"{moment}, {name} label{'s' * (name == 'different')}": (f"{moment}.{name}", getattr(pairs[moment], name))
    for moment in nets
    for name in ("same", "different")
}
for key, values in groups.values():
    record.update(f"cosine.{key}", {"mean": values.mean(), "negative": (values < 0).float().mean()})
table(
    [
        {"pairs": name, "mean cosine": f"{values.mean():.2f}", **relations.shares(values)}
        for name, (_, values) in groups.items()
    ],
    index="pairs",
    formats=dict.fromkeys(["interchangeable", "weak", "unrelated", "contradictory"], "{:.1%}"),
)

# %% [markdown]
# Interchangeable: a cosine of at least 0.5. Unrelated: below 0.1 in size. Contradictory: at most -0.1. Weak: between. The
# thresholds are ours.
#
# ## Neighbours
#
# For one sample of each of a few classes, the samples whose update is most like its own and those whose update is least like
# it, with the cosine above each image (blue: same label, vermilion: another label). Only a negative cosine is a contradiction.

# %%
chosen = relations.one_of_each(y, count=5)
record.figure("neighbours", panels.gallery(samples, x, y, cosines["trained"], chosen))

# %% [markdown]
# ## Verdict
#
# By the rule at the top of this page.

# %%
for moment in nets:
    record.number(f"separation.{moment}", relations.separation(pairs[moment]))
    record.number(f"nearest.{moment}.same_label", relations.same_label_share(cosines[moment], y))
    gap = record.numbers[f"cosine.{moment}.same.mean"] - record.numbers[f"cosine.{moment}.different.mean"]
    record.number(f"gap.{moment}", gap)
added = record.numbers["gap.trained"] - record.numbers["gap.initial"]
verdict = HOLDS if added >= RULE["widens"] else FAILS if added <= -RULE["widens"] else UNDECIDED
record.number("verdict", verdict)
Markdown(
    f"That training widens the gap between the mean cosines of pairs of one label and of two **{verdict}**: it is "
    f"{record.text('gap.initial', '.2f')} at initialisation and {record.text('gap.trained', '.2f')} after training. A pair of one "
    f"label has the larger cosine with probability {record.text('separation.initial', '.3f')} before and "
    f"{record.text('separation.trained', '.3f')} after. Of the {n} samples "
    f"{record.text('nearest.initial.same_label', '.1%')} and {record.text('nearest.trained.same_label', '.1%')} have their most "
    "similar sample in their own class. Beyond a right angle lie "
    f"{record.text('cosine.trained.different.negative', '.2%')} of the pairs of two labels and "
    f"{record.text('cosine.trained.same.negative', '.2%')} of those of one."
)

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | signs $s(y)$ | `sign_vectors` | `test_symmetric_kernel_is_the_oracles` |
# | $\kappa$, normalised or not | `kernel_matrix` | `test_symmetric_kernel_is_the_oracles`, all $K \times K$ blocks in float64; `test_normalised_kernel_is_the_cosine_of_the_gradients` |
# | its layers' shares | `LayerwiseGram` | `test_every_form_gives_the_kernel_of_plain_per_sample_gradients` |
# | cosine, neighbours, separation | `cosine`, `neighbours`, `separation` | `test_the_three_relations_of_hand_made_gradients`, `test_neighbours_leave_the_sample_itself_out`, `test_separation_is_the_area_under_the_roc_curve` |
