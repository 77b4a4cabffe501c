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
# # Cost
#
# The kernel looks expensive: each of its $n^2$ entries contracts a $K \times K$ block of inner products between gradients
# of $P$ numbers. It need not be. This page counts the operations of four ways to the same matrix, times three of them,
# looks at where the fastest spends its work, and asks how far random projections can shorten it.
#
# ## Four ways to one matrix
#
# Let $F$ be the arithmetic of one forward pass of one sample; a backward pass takes about $2F$. With the
# [notation](../book/theory.md) of the theory:
#
# | way | backward passes | inner products, in multiplications | held at once |
# |---|---|---|---|
# | the definition, pair by pair, as in the authors' code | $n^2 K$ | $n^2 K^2 P$ | $2KP$ |
# | a Jacobian per sample, kept | $nK$ | $\tfrac12 n^2 K^2 P$ | $nKP$ |
# | one signed gradient per sample | $n$ | $\tfrac12 n^2 P$ | $nP$ |
# | layer by layer, the cheapest form of each | $n$ | $\tfrac12 n^2 \sum_\ell c_\ell$ | $n \sum_\ell m_\ell$ |
#
# Each step removes a factor. Keeping the Jacobians removes $n$ from the passes. Signing before differentiating,
# $\varphi = \nabla_w\, s^\top z$, removes $K$ from the passes and $K^2$ from the products, at no loss: it is the same number.
# The last step removes much of $P$, because the gradient of a weight matrix has structure. A layer used at $t$ positions,
# with patches $p_t \in \mathbb R^q$ and output gradients $d_t \in \mathbb R^k$, has the gradient $\sum_t d_t p_t^\top$, so that
#
# $$
# \langle G, G' \rangle \;=\; \sum_{t, t'} \langle p_t, p'_{t'} \rangle \, \langle d_t, d'_{t'} \rangle
# \qquad\Longrightarrow\qquad
# c_\ell = \min \big\{\, qk,\;\; t^2 (q + k),\;\; u^2 c + t^2 k + \dots \big\} .
# $$
#
# The first form multiplies the gradients, $qk$ numbers. The second multiplies patches and output gradients and never
# forms a gradient: for a linear layer, $t = 1$, it takes $q + k$ instead of $qk$. The third is for convolutions, whose
# patches overlap: products of the $u$ single pixels of $c$ channels are shared among the patches. Sizes decide,
# layer by layer. On a CPU a large gradient that is longer than its patches and output gradients is not kept (*formed*): it
# is made when two blocks of samples meet, for some outputs of the layer at a time, in memory that is used again.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
networks = {"mlp": {}, "resnet18": {"width": 8}}  # names and options of lpntk.build
epochs = 10  # of training, so that the kernel is that of a network that knows something
n = 400  # samples in the kernel that is sketched
n_timed = 64  # samples in the kernel that is computed in three ways; Jacobians take n_timed * K * P numbers
repeats = 3
sizes = [64, 256, 1024, 4096]  # numbers per sample in a sketch
kinds = ["kronecker", "rademacher"]
seeds = 2
bench_records = "../results/bench"  # where bench/run.py has left its records
seed = 0
device = "auto"
results = "../results/interactive/03-cost"

# %%
import pandas as pd
import torch
from IPython.display import Markdown, display

from lpntk.data import dataset as data
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn import models
from lpntk.learn.training import train
from lpntk.machine.device import describe_device, resolve_device
from lpntk.phenomena.cost import fidelity
from lpntk.phenomena.cost import figures as cost_plots
from lpntk.phenomena.cost import records as benchmarks
from lpntk.phenomena.cost import ways as cost
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.verdict import HOLDS, IN_PART

plots.use_style()
record = Results(results)
RULE = {"rank": 0.99, "neighbours": 0.9, "share": 0.5}  # of a sketch: kept at least, and less than this of the time

# %%
samples = data.load(dataset)
everything = torch.arange(len(samples.y_train))[None]
place = resolve_device(device)
rows = samples.sample(n, seed)
x, y = samples.x_train[rows].to(place), samples.y_train[rows].to(place)
nets = {}
for name, options in networks.items():
    net = models.build(name, samples.in_shape, samples.k, seed=seed, **options)
    train([net], samples.x_train, samples.y_train, everything, seeds=[seed], epochs=epochs, lr=0.05, device=device)
    nets[name] = net

# %% [markdown]
# ## Three of them, timed
#
# The same matrix over a few samples, in turns: a round runs each way once, and the median counts. The definition pair by
# pair is left out: it repeats the work of the third way $n$ times over. With more samples only the two ways are timed that
# can hold what they need. The error is the relative distance to the first matrix: all compute the same, up to rounding,
# which counts more where it switches a ReLU whose input is nearly zero.

# %%
few = dict(list(cost.WAYS.items())[:2])
timed = {}
for name, net in nets.items():
    timed[name, n_timed] = cost.compare(net, x[:n_timed], y[:n_timed], repeats)
    timed[name, n] = cost.compare(net, x, y, repeats, few)
table = pd.concat(timed, names=["network", "n", "way"])
record.frame("timed", table.reset_index())
display(table.style.format({"ratio": "{:.2f}", "error": "{:.0e}"}, precision=4))
Markdown(
    f"Measured on {describe_device(place)}. The layer-wise kernel first tries the model on four samples and compares itself "
    "with autograd; with few samples and small networks this fixed cost shows, and plain gradients can be faster."
)

# %% [markdown]
# ## Where the work is
#
# The plan for each layer: which form was chosen, how many multiplications one entry of the matrix takes, and how many go
# into preparing one sample. The product of whole gradients would take as many multiplications per entry as the layer has
# parameters.

# %%
for name, net in nets.items():
    plan = cost.plan(net, x[:4], y[:4], n).set_index("layer")
    display(Markdown(f"**{name}**: {plan['MACs per pair'].sum():,} multiplications per entry, "
                     f"{models.count_parameters(net):,} parameters"))  # fmt: skip
    largest = plan.nlargest(12, "parameters", keep="all")
    display(plan.loc[plan.index.isin(largest.index)].style.format(thousands=","))

# %% [markdown]
# ## If some error is allowed
#
# A random linear map $S$ with $\mathbb E\, S^\top S = I$ shortens every gradient to $m$ numbers, and
# $\langle S\varphi, S\varphi' \rangle$ is $\langle \varphi, \varphi' \rangle$ on average over $S$. The standard error of an
# entry is about $c\, |\varphi|\, |\varphi'| / \sqrt m$, the same for a large entry and for one near zero.
#
# - *Dense* (`gaussian`, `rademacher`): $S$ is one matrix of independent numbers, $c^2 \le 2$. It takes $Pm$ multiplications
#   per sample, and as many random numbers.
# - *Kronecker*: a row of $S$ is a product of two random vectors for each layer, and
#   $b^\top G\, a = \sum_t (b \cdot d_t)(a \cdot p_t)$ needs no gradient. It takes $t(q + k)$ multiplications per number
#   instead of $qk$, and where that is more, the layer gets dense rows of its own. The price: $c^2 = 2 + 6/\rho$, where the
#   effective rank $\rho$ of a gradient is 1 for a layer with one position and grows with the number of positions.
#
# The numbers are divided among the layers in proportion to their squared gradient norms; a layer whose gradient is shorter
# than its share keeps it exactly.
#
# **The rule**, stated before the numbers: a sketch is *faithful* if in every seed, and at every larger size too, the rows of
# the matrix of cosines keep a rank correlation of at least 0.99 and at least 90 % of the ten nearest neighbours. It is
# *worth it* if it takes less than half the time of the exact kernel. That it is both holds, holds in part where it is faithful
# alone, or fails.

# %%
judged, sketches = {}, {}
for name, net in nets.items():
    exact = kernel_matrix(net, x, y, device=device)
    exact_seconds = cost.compare(net, x, y, 3, {"exact": cost.by_layers}).seconds["exact"]
    trials = fidelity.sweep(net, x, y, exact, kinds, sizes, seeds)
    display(record.figure(f"sketch-{name}", cost_plots.sketch_panels(trials, exact_seconds, f"{name}, {n} samples")))
    sketches[name] = trials.assign(exact_seconds=exact_seconds)
    display(Markdown(f"**{name}**, exact kernel in {exact_seconds:.3g} s; means over the seeds"))
    means = trials.groupby(["kind", "size"], as_index=False).mean().drop(columns="seed")
    display(means.style.format(precision=3).hide(axis="index"))
    for kind in kinds:
        judged[f"{kind} sketch of the {name}"] = fidelity.verdict(trials[trials.kind == kind], exact_seconds, RULE)
record.frame("sketches", pd.concat(sketches, names=["network"]).reset_index("network"))
faithful = [f"{what}: {found.because}" for what, found in judged.items() if found.word in {HOLDS, IN_PART}]
worth = sum(found.word == HOLDS for found in judged.values())
record.update("sketch", {"tried": len(judged), "faithful": len(faithful), "worth": worth, "largest": max(sizes),
                         "told": "; ".join(faithful) or "none"})  # fmt: skip

# %%
said = [f"- That a {what} is faithful and worth it **{found}**: {found.because}." for what, found in judged.items()]
Markdown("**Verdict.**\n\n" + "\n".join(said))

# %% [markdown]
# ## The full benchmark
#
# The repository carries a benchmark, `bench/run.py`, that times the kernel against other ways and other libraries at larger
# sizes, with the variants taking turns. Below are the records that were committed, with the hardware they were measured
# on, whatever machine this page was made on. Open markers, and `~` in the table, are extrapolated from a part of the work.
# *plain-layerwise* is no library: it is the layer-wise idea as a program of a hundred lines, without a trial of the model,
# without checks and without a bound on memory.

# %%
reports = benchmarks.read(bench_records)
for (name, hardware), report in reports.groupby(["record", "hardware"]) if len(reports) else ():
    timings, left_out = report[report.seconds.notna()], report[report.seconds.isna()]
    display(Markdown(f"**{name}**: {hardware}"))
    display(record.figure(f"bench-{name}", cost_plots.benchmark(timings)))
    display(Markdown("Seconds of ours; of the others, how many times as long."))
    display(benchmarks.ratios(timings))
    if len(left_out):
        columns = {"variant": "not measured", "network": "network", "n": "n", "reason": "reason"}
        display(left_out.rename(columns=columns)[list(columns.values())].style.hide(axis="index"))
leads = benchmarks.leads(reports) if len(reports) else pd.DataFrame()
for row in leads.to_dict("records"):
    record.update(f"bench.{row['record']}.{row['network']}.{row['n']}", row)
if reports.empty:
    display(
        Markdown(
            "*The folder holds no record, so there is nothing to show here: `python bench/run.py --out` writes one.*"
        )
    )

# %% [markdown]
# ## All of MNIST
#
# The paper's network (1.2 M parameters), trained first, over the 60,000 training images: the kernel of each class in memory, and
# all 1.8 billion pairs blockwise to disk (`bench/mnist.py`). The share is that of the machine's own matrix product of 4096 x 4096
# numbers, on the operations that the method needs; the error is that of 64 entries against float64; *resident* is the most
# that the whole process held, data and program included, and of all pairs also what the system kept of the mapped file.

# %%
whole = benchmarks.whole_mnist(bench_records)
for row in whole.rename(columns=lambda name: name.replace(" ", "_")).to_dict("records"):
    record.update(f"mnist.{row.pop('kernel')}", row)
if len(whole):
    display(Markdown("; ".join(whole.hardware.unique())))
    display(
        whole.drop(columns="hardware").style.format(precision=0).format("{:.0%}", subset="share of the GEMM peak")
        .format("{:.1f}", subset="resident GiB").format("{:.0e}", subset="error").hide(axis="index")
    )  # fmt: skip
else:
    display(Markdown("*No record of it here.*"))

# %% [markdown]
# ## Hundreds of models at once
#
# Learning difficulty asks for hundreds of small networks, each on a few samples. One at a time they leave a processor waiting; as a
# stack, with one batched product per layer, they fill it. `train` puts as many into a stack as keep what a step touches near
# the processor; no clock is asked, so every machine trains alike. Below are committed runs of `bench/stacking.py`: 64
# models of each kind, medians of runs that take turns. Solid: the width by this rule; dotted: stacks of all 64.

# %%
stacks = benchmarks.stacking(bench_records)
if len(stacks):
    display(record.figure("stacking", cost_plots.crossover(stacks)))
else:
    display(Markdown("*No record of it here.*"))

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | the kernel in three ways | `by_layers`, `by_gradients`, `by_jacobians` | `test_every_way_gives_the_kernel` |
# | operations of each layer | `ways:plan`, `make_plan` | `test_bytes_and_flops_are_those_of_the_plan` |
# | sketched kernel | `SketchedGram` | `test_every_kind_is_unbiased`, `test_the_variance_of_a_kronecker_number_is_the_documented_one` |
# | error, ranks, neighbours of a sketch | `fidelity` | `test_fidelity_is_perfect_for_the_same_matrix_and_not_for_another` |
# | verdict | `fidelity:verdict` | `test_the_verdict_needs_every_larger_size_and_every_seed` |
# | width of a stack | `choose_width`, `Stack` | `test_every_way_gives_the_same_losses_and_weights`, `test_the_width_follows_from_the_model_alone` |
# | records of the benchmark | `records:read`, `whole_mnist`, `stacking`; written by `bench/run.py`, `bench/mnist.py`, `bench/stacking.py` | `test_benchmark_records_are_read_and_marked`, `test_every_variant_computes_the_same_kernel_or_says_why_not` |
