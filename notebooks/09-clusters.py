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
# # Clusters
#
# If two samples are interchangeable, one can stand for both. The paper therefore clusters each class by the kernel: *farthest-point
# clustering* (FPC). It starts from the sample with the largest gradient. Then, again and again, the sample that its cluster's head
# represents worst becomes a head of its own, and samples that resemble it more move to it. The paper reports a long tail: a few
# large clusters and many tiny ones ([theory](../book/questions/clusters.md)).
#
# Farthest points make unequal clusters of almost anything, and a kernel is large where gradients are long. So we ask three things more.
# Is the tail longer than that of the same algorithm on pixels? Does it stay when gradients are made equally long (*cosine*)? Do two
# networks find the same clusters?
#
# **The rule for the verdict.** *Clusters have a long tail* **holds** if, at the last moment, in every network both hold for clusters by
# the kernel: the Gini coefficient of their sizes is at least 0.5, and the largest tenth of them holds at least half of all
# samples. It **fails** if neither holds in any network, and **holds in part** otherwise. It **cannot be judged** with fewer than 3
# networks, or if one has a test accuracy below 0.9: what has not learned says nothing. A *power law* is said of sizes only if data drawn from the
# fitted law lie as far from their own fit as the sizes do in at least a tenth of the draws, in every network.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {"hidden": [128]}  # of the architecture
n = 1437  # training samples of the kernel
ratio = 0.1  # clusters per sample
seeds = 5  # networks
moments = [0, 2, 10, 60]  # finished epochs at which a network is looked at
lr = 0.1
batch_size = 128
momentum = 0.9
weight_decay = 0.0005
draws = 200  # of a power law
seed = 0
device = "auto"
results = "../results/interactive/09-clusters"

# %%
RULE = {"gini": 0.5, "top": 0.5, "networks": 3, "test": 0.9, "power_law": 0.1}

# %%
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.less_data.clusters import figures
from lpntk.phenomena.less_data.clusters.study import agreement, at_end, by_cluster, shape, study
from lpntk.phenomena.less_data.clusters.verdict import power_laws, verdict
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import numbers, words

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained before is not trained again

# %% [markdown]
# ## Networks, kernels, clusters
#
# Each network learns the whole training set. At each moment its kernel over the same samples is clustered, class by class: by the
# kernel, by its cosine, and by a tree of average linkage. *Own nearest first* is the authors' option: samples that are more
# similar to themselves than to any other of their class become heads first, if they are few enough. The control clusters the cosine of the raw pixels.

# %%
samples = data.load(dataset)
network = Network(model, samples.in_shape, samples.k, options)
found, networks = study(
    network,
    samples,
    n=n,
    ratio=ratio,
    seeds=range(seed, seed + seeds),
    moments=moments,
    cache=cache,
    device=device,
    lr=lr,
    batch_size=batch_size,
    momentum=momentum,
    weight_decay=weight_decay,
)
clusters = by_cluster(found)
shapes = shape(clusters)
record.frame("clusters", clusters)
record.frame("shapes", shapes)
record.update("scale", {"n": n, "seeds": seeds, "training_seconds": cache.seconds})

# %% [markdown]
# ## How unequal are they?

# %%
record.figure("sizes", figures.sizes(clusters))

# %% [markdown]
# At the last moment, mean ± standard deviation over networks. *Largest*: mean share of its class; *top tenth*: share of all samples in the
# largest tenth of the clusters; *singletons*: share of clusters of one sample; *follows the norm*: rank correlation between a
# head's kernel with itself and the size of its cluster.

# %%
last = at_end(shapes)
columns = ["gini", "largest", "top", "singletons", "norm"]
record.update("shape", numbers(last, ["kind"], columns))
table = words(last, ["kind"], columns, "{:.2f}")
table.columns = ["Gini", "largest", "top tenth", "singletons", "follows the norm"]
table.rename(index=figures.KINDS)

# %% [markdown]
# ## Does the size of a cluster follow the size of a gradient?

# %%
record.figure("norms", figures.norms(clusters))

# %% [markdown]
# ## Do networks agree?
#
# The adjusted Rand index is 1 for the same clusters and 0 for those of chance. It is taken within classes.

# %%
across_seeds, across_moments = agreement(found, "seed"), agreement(found, "epoch")
record.frame("agreement", across_seeds)
record.figure("stability", figures.stability(across_seeds))
# %%
end = max(moments)
at_end = across_seeds[across_seeds["epoch"] == end]
record.update("seeds", numbers(at_end, ["kind"], ["ari"]))
begun = across_moments[(across_moments["one"] == 0) & (across_moments["other"] == end)]
record.update("training", numbers(begun, ["kind"], ["ari"]))
agreed = words(at_end, ["kind"], ["ari"], "{:.2f}").join(words(begun, ["kind"], ["ari"], "{:.2f}"), suffixes=("", " "))
agreed.columns = ["two networks, trained", "one network, before and after training"]
agreed.rename(index=figures.KINDS)

# %% [markdown]
# ## Who stands for many, and who for none?

# %%
record.figure("heads", figures.heads(found, samples))

# %% [markdown]
# ## Verdict

# %%
laws = power_laws(clusters, draws=draws, seed=seed)
record.frame("power_laws", laws)
judged = verdict(shapes, networks, laws, RULE)
record.number("verdict", judged.word)
accuracy, own = networks[networks["epoch"] == end]["test"], networks[networks["epoch"] == end]["own_nearest"]
record.update("networks", {"test": accuracy.mean(), "least": accuracy.min(), "own_nearest": own.mean()})
possible = laws[laws["kind"] == "kernel"]["p"] >= RULE["power_law"]
record.update("power_law", {"out": int((~possible).sum()), "of": len(possible)})
Markdown(f"*Clusters have a long tail* **{judged}**: {judged.because}")

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | farthest-point clustering | `clusters` | `test_it_is_the_definition_sample_by_sample` |
# | networks, kernels and their clusters | `clusters.study:study`, `by_cluster`, `shape`, `study:agreement` | `test_every_network_is_clustered_at_every_moment` |
# | fit of a power law | `power_law` | `test_a_power_law_is_found_where_it_is_and_ruled_out_where_not` |
