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
# # Pictures to play with
#
# Four *explorers*, pictures with controls: a sample and its company, two vectors, the kernel through training, and samples that are left out. In JupyterLab this
# kernel answers, for your own data too; on a page of the book all answers lie in the page. Nothing here is a claim, so there is no verdict.
#
# One network is watched while it learns. For the last picture others are trained on what each method keeps, everything anew in every repeat, as in
# [Less data](../book/questions/less-data.md), at more shares and a smaller scale.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {"hidden": [128]}  # of the architecture
n = 600  # training samples
shown = 240  # of them that are watched and shown
moments = [0, 1, 2, 3, 5, 8, 13, 20, 30]  # finished epochs at which the kernel is taken; the last ends the training
ratio = 0.1  # clusters per sample
arms = ["heads", "heads-cosine", "pixels", "el2n", "forgetting", "balanced"]  # methods that leave samples out
shares = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]  # of the samples that they keep
repeats = 5
scorers = 1  # networks behind every score
epochs = 15  # of the trainings without some samples
early = 3  # epochs after which EL2N is taken
lr = 0.05
batch_size = 64
momentum = 0.9
weight_decay = 0.0005
seed = 0
device = "auto"
results = "../results/interactive/15-explore"

# %%
from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.less_data.selection.study import chosen, study
from lpntk.reader.explore import company, prune, training, vectors
from lpntk.reader.explore.watched import watch
from lpntk.report.results import Results

record = Results(results)
cache = Cache()  # what was trained before is not trained again
everything = data.load(dataset)
network = Network(model, everything.in_shape, everything.k, options)
sgd = {"lr": lr, "batch_size": batch_size, "momentum": momentum, "weight_decay": weight_decay}

# %% [markdown]
# ## A sample and its company
#
# Choose a sample by mouse, touch or arrow keys. Its companions can be chosen too.

# %%
watched = watch(network, everything, n=n, shown=shown, seed=seed, moments=moments, cache=cache, device=device, **sgd)
company.sample_and_company(watched, ratio=ratio).save(record.folder)

# %% [markdown]
# ## Two vectors
#
# Two samples whose inputs have a given cosine. Only their labels and the number of classes decide the signs.

# %%
vectors.two_vectors().save(record.folder)

# %% [markdown]
# ## Through training

# %%
training.through_training(watched).save(record.folder)

# %% [markdown]
# ## Prune it yourself

# %%
how = {
    "n": n,
    "shares": shares,
    "scorers": scorers,
    "epochs": epochs,
    "early": early,
    "ratio": ratio,
    "seed": seed,
    "cache": cache,
    "arms": arms,
    "device": device,
    **sgd,
}
frame = study(network, everything, repeats=repeats, by_steps=[], **how)
record.frame("selection", frame)
rows, kept = chosen(network, everything, repeat=0, **how)
record.update(
    "scale",
    {"n": n, "shown": shown, "repeats": repeats, "epochs": max(moments), "training_seconds": cache.seconds},
)
prune.prune_it_yourself(everything, rows, kept, frame, shown=shown).save(record.folder)

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | the network and what it lost | `watch` | `test_what_is_watched_is_the_training_of_the_network_alone` |
# | companions | `companions` | `test_companions_are_those_that_a_search_finds` |
# | two vectors | `of_vectors` | `test_two_vectors_are_those_of_a_network_that_learns_in_one_linear_layer` |
# | matrix, spectrum, relations | `through_training` | `test_every_epoch_has_its_own_spectrum_and_relations` |
# | what is kept, accuracy | `prune_it_yourself`, `measured` | `test_what_is_kept_and_measured_is_what_the_study_says` |
# | the answers of a kernel | `Explorer` | `test_a_kernel_answers_what_the_front_end_chooses` |
# | the answers of a page | `Explorer.fragment`, `renewed` | `test_company_follows_keys_touch_and_its_own_companions`, `test_a_fragment_is_shown_by_today_s_script` |
