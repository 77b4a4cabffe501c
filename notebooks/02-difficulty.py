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
# # Learning difficulty and set size
#
# Some samples are learned late and at great cost, others at once. Is that a property of the sample, or of the company it
# is learned in? If difficulty belonged to the sample, it would be the same whether the sample is learned among a thousand
# others or among four. The paper's answer (its Figure 1) is that it is not: the smaller the set, the less the difficulty
# in it has to do with the difficulty in the large set, because samples make each other easy or hard through the kernel.
#
# **Difficulty** is the loss of a sample accumulated over training, one term per presentation, before the update: the area
# under its loss curve. **The experiment**: learn a universal set of $N$ samples as a whole; then split it into $N/X$
# disjoint subsets and learn each with a model of its own. Every sample then has a difficulty at every size $X$, and
# $\rho(X)$ is Pearson's correlation between the difficulties at $N$ and at $X$.
#
# A low $\rho$ proves nothing by itself: two runs on *the same* set already differ by initialisation and order. So the
# universal set is learned again with another seed, and the correlation between these two runs is the **noise ceiling**:
# no $\rho$ can be expected above it. And a set on which nothing was learned has no difficulty worth the name, so each
# size reports what it learned.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # a network without batch norm, since hundreds are trained as one stack
hidden = [128]  # widths of the mlp
n = 1024  # universal set
sizes = [256, 64, 16, 4, 1]
epochs = 30
lr = 0.1
batch_size = 128
measure = "loss"  # or "distance", as accumulated in the authors' code
seeds = 3  # repetitions of the whole experiment
seed = 0
device = "auto"
results = "../results/interactive/02-difficulty"

# %%
import pandas as pd
from IPython.display import Markdown

from lpntk import data, difficulty, models, plots
from lpntk.results import Results

plots.use_style()
record = Results(results)

# %% [markdown]
# ## The experiment
#
# All models of one size are trained at once as a stack; the samples, the split and every initialisation follow from
# the seed.

# %%
samples = data.load(dataset)
rows = samples.sample(n, seed)
options = {"hidden": hidden} if model == "mlp" else {}
experiments = [
    difficulty.difficulty_by_size(
        lambda s: models.build(model, samples.in_shape, samples.k, seed=s, **options),
        samples.x_train[rows],
        samples.y_train[rows],
        sizes,
        seed=repetition,
        measure=measure,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        device=device,
    )
    for repetition in range(seed, seed + seeds)
]
runs, again = experiments[0]

# %% [markdown]
# ## What each size learned
#
# Losses are means over samples, in nats; guessing among $K$ classes costs $\ln K$. Accuracy is over the samples' last
# presentation.

# %%
table = difficulty.learned(runs)
for row in table:
    record.update(f"learned.{row.pop('size')}", row)
pd.DataFrame(difficulty.learned(runs)).set_index("size").style.format("{:.3f}")

# %% [markdown]
# ## Scatter
#
# Each point is one sample of the universal set (at most 1,000 are drawn). The grey panel is the ceiling: the same set,
# another seed.

# %%
rho = difficulty.correlations(experiments, seed=seed)
record.number("n", n)
record.number("rho.ceiling", rho.ceiling)
record.number("rho.ceiling_spread", rho.ceiling_spread)
for size, value in rho.by_size.items():
    record.update(f"rho.{size}", {"first": value.rho, "low": value.low, "high": value.high})
    record.update(f"rho.{size}", {"mean": value.mean, "spread": value.spread})
for name, size in (("large", max(rho.by_size)), ("small", min(rho.by_size))):
    record.update(f"rho.{name}", {"size": size, "mean": rho.by_size[size].mean})
record.figure("scatter", plots.difficulty_panels(runs, again, rho, seed=seed))
# %%
record.figure("rho", plots.rho_by_size(rho))
# %%
pd.DataFrame(
    [
        {"size": size, "rho": v.rho, "95 % low": v.low, "95 % high": v.high, "mean of seeds": v.mean, "sd": v.spread}
        for size, v in rho.by_size.items()
    ]
).set_index("size").style.format("{:.2f}")

# %% [markdown]
# ## Verdict
#
# Stated before looking: the decline *holds* if the mean $\rho$ falls with every step to a smaller size as long as it is
# above 0.1, the smallest size is below 0.2, and the noise ceiling is at least 0.7.

# %%
record.number("verdict", rho.verdict)
Markdown(
    f"On {n} samples of {dataset} the noise ceiling is **{rho.ceiling:.2f}** and $\\rho$ goes "
    + ", ".join(f"{v.mean:.2f} (X = {size})" for size, v in rho.by_size.items())
    + f", means of {seeds} repetition{'s' if seeds > 1 else ''}. The decline with the set size **{rho.verdict}**."
)
