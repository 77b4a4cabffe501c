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
# # Beside other scores
#
# What the paper's reviewers missed ([theory](../book/questions/other-scores.md)): pictures of the samples that are left out and what they have in common; *Data-IQ*, which sorts
# samples into easy, ambiguous and hard ones, beside the size of clusters; *TracIn* and *influence functions* beside the kernel, on the same
# pairs. Nothing of it is a claim of the paper, so there is no verdict, only numbers.
#
# - **Data-IQ** takes the probability $p$ of the label at every presentation. *Confidence* is its mean, *variability* the mean of $p(1-p)$. The more variable half is *ambiguous*. Of the
#   others those with a confidence of at least 0.75 are *easy*, those of at most 0.25 *hard*, and what is left is ambiguous too.
# - **TracIn** sums inner products of loss gradients over checkpoints.
# - **Influence** tells how giving one sample more weight would change the loss of another, once the network has settled. The Hessian is replaced by the mean outer product of loss gradients,
#   with a damping.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {"hidden": [128]}  # of the architecture
n = 1437  # training samples, all clustered
n_pairs = 400  # of them whose pairs are compared
ratio = 0.1  # clusters per sample
seeds = 5  # networks
moments = [0, 1, 3, 10, 30]  # finished epochs: checkpoints of TracIn but for 0; the last ends the training
damping = 0.1  # of influence, in units of the mean squared length of a loss gradient
lr = 0.05
batch_size = 64
momentum = 0.9
weight_decay = 0.0005
seed = 0
device = "auto"
results = "../results/interactive/14-beside"

# %%
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.moments import train_together
from lpntk.phenomena.less_data.beside import figures, pairs, samples
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import numbers, words

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained before is not trained again

# %%
everything = data.load(dataset)
rows = everything.sample(n, seed)
x, y = everything.x_train[rows], everything.y_train[rows]
network = Network(model, everything.in_shape, everything.k, options)
runs, loss = train_together(
    network,
    x,
    y,
    seeds=range(seed, seed + seeds),
    moments=moments,
    cache=cache,
    device=device,
    lr=lr,
    batch_size=batch_size,
    momentum=momentum,
    weight_decay=weight_decay,
)
record.update(
    "scale", {"n": n, "seeds": seeds, "pairs": n_pairs * (n_pairs - 1) // 2, "training_seconds": cache.seconds}
)

# %% [markdown]
# ## What is left out
#
# The largest cluster of each class: its head, and members that a selection of heads leaves out.

# %%
found = samples.study(runs, loss, x, y, ratio=ratio)
record.figure("left-out", figures.left_out(found, everything, rows.numpy()))

# %% [markdown]
# What have they in common? *Heads*: how far heads lie from other samples of their class, in standard deviations, mean ± standard deviation over networks. *Size*: rank correlation with
# the size of a sample's cluster.

# %%
common = samples.in_common(found)
record.update("common", numbers(common, ["property"], ["difference", "size"]))
table = words(common, ["property"], ["difference", "size"], "{:+.2f}")
table.columns = ["heads less others", "follows the size"]
table.rename(index=samples.PROPERTIES)

# %% [markdown]
# ## Easy, ambiguous, hard

# %%
record.figure("data-iq", figures.data_iq(found))

# %%
iq = samples.by_group(found)
record.update("iq", numbers(iq, ["group"], ["share", "heads", "size"]))
table = words(iq, ["group"], ["share", "heads", "size"], {"size": "{:.1f}"})
table.columns = ["of all samples", "of the heads", "mean size of the cluster"]
table

# %% [markdown]
# ## TracIn, influence and the kernel
#
# Spearman's rank correlation between scores of the same pairs, mean over networks.

# %%
few = rows[:n_pairs]  # sorted by place in the data set, not by label
compared = pairs.study(runs, everything.x_train[few], everything.y_train[few], damping=damping)
record.frame("pairs", compared)
record.figure("correlations", figures.correlations(compared))
record.update("rho", numbers(compared, ["pairs", "one", "other"], ["rho"]))
Markdown(
    f"Over all pairs lpNTK and TracIn agree with a rank correlation of {record.text('rho.all.kernel.tracin.rho.mean', '.2f')}, lpNTK and influence with "
    f"{record.text('rho.all.kernel.influence.rho.mean', '.2f')}."
)

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | networks and losses | `train_together` | `test_networks_trained_together_are_those_trained_alone` |
# | confidence, variability, groups | `samples:data_iq`, `samples:groups` | `test_data_iq_is_what_its_definition_says` |
# | heads beside others | `in_common` | `test_what_heads_have_in_common_is_found` |
# | influence | `influence` | `test_influence_is_that_of_the_damped_hessian` |
# | scores of pairs | `pairs:study` | `test_scores_of_pairs_are_compared_on_the_same_pairs` |
