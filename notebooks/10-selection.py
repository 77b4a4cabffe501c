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
# # Less data
#
# The paper's title promises better generalisation with less data: leave out what the clusters show to be interchangeable, and the network is
# no worse, or even better ([theory](../book/questions/less-data.md)). We leave out by the paper's ways, by other methods, and by controls that decide whether
# the kernel deserves the credit: the same clustering on raw pixels, on the kernel before training, and on the kernel without labels.
#
# **Fair play.** Networks that score are never those that are judged. Every score is the mean over the same number of networks. In every repeat
# the scoring networks and the judged network are drawn anew, and the training samples, too, unless `n` is all there are; within a repeat all methods start from the same weights.
# The test images are the same throughout. Every method keeps as many samples. What is left is learned for as many *epochs* as all samples are, and once more for as many *steps*. The last
# epoch counts. What choosing the best epoch on the test set would add is shown beside it. Where a network is still learning when it stops, a share loses by its fewer steps alone:
# then all samples are also learned in as few steps (`fewer`).
#
# **The rules.** *Leaving out does not hurt* **holds** at a share if the 90 % interval of the paired difference to all samples lies above minus the margin (a
# one-sided test at the level 0.05), **fails** if it lies below that, and **is undecided** otherwise. The verdict joins the shares of at least 50 % for
# the heads of clusters by the kernel. *The kernel deserves the credit* **holds** at a share if these heads are better than each of
# three rivals (random by class, heads by pixels, heads at initialisation; paired t tests, corrected after Holm over shares and
# rivals) and **fails** if they are worse than one of them. A run without heads at initialisation has two rivals. So has every network with batch norm, as at
# initialisation its statistics are still 0 and 1, and evaluated there it is a network without norm. Shares are joined: a claim holds or fails if it does at all of them, holds in part
# if it holds at some, and is undecided otherwise. Nothing **can be judged** with fewer than 5 repeats, if a network diverged, or if
# all samples give a test accuracy below `enough`.
#
# Where the verdict was looked at before with fewer repeats, that is a second chance to find something. The level is then 0.0294 (Pocock's bound for two looks), and the interval is the
# 94 % one. A run is judged once, with all its repeats.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {"hidden": [128]}  # of the architecture
n = 1200  # training samples before any is left out
shares = [0.9, 0.7, 0.5, 0.3, 0.1]  # of them that are kept
arms = None  # names of methods, and "node"; all of them by default
by_steps = None  # those that get as many steps as all samples, too; all by default
fewer = False  # whether all samples are also learned in as few steps as each share gets
repeats = 5
scorers = 3  # networks behind every score
epochs = 30
early = 3  # epochs after which EL2N and GraNd are taken
ratio = 0.1  # clusters per sample where half of the largest one is dropped
margin = 0.01  # of test accuracy that counts as none
looks = 1  # 2 if the verdict was seen before with fewer of these repeats
enough = 0.9  # test accuracy with all samples below which nothing is judged
lr = 0.05
schedule = "constant"  # or "cosine", which spans all epochs of a training, however many
batch_size = 64
momentum = 0.9
weight_decay = 0.0005
augment = None  # or "crop-flip", for photographs
seed = 0
device = "auto"
results = "../results/interactive/10-selection"

# %%
RULE = {"margin": margin, "level": {1: 0.05, 2: 0.0294}[looks], "least": 0.5, "repeats": 5, "test": enough}

# %%
from IPython.display import Markdown, display

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.less_data.selection import figures
from lpntk.phenomena.less_data.selection.arms import ARMS
from lpntk.phenomena.less_data.selection.study import FEWER, study
from lpntk.phenomena.less_data.selection.verdict import against_all, credit, hurts_not, rivals, superior, title
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import keyed, words

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained before is not trained again

# %% [markdown]
# ## Score, keep, train, test

# %%
samples = data.load(dataset)
arms = [*ARMS, "node"] if arms is None else arms
by_steps = arms if by_steps is None else by_steps
network = Network(model, samples.in_shape, samples.k, options)
frame = record.study(
    "selection",
    study,
    network,
    samples,
    n=n,
    shares=shares,
    repeats=repeats,
    scorers=scorers,
    epochs=epochs,
    early=early,
    ratio=ratio,
    seed=seed,
    cache=cache,
    arms=arms,
    by_steps=by_steps,
    fewer=fewer,
    device=device,
    lr=lr,
    schedule=schedule,
    batch_size=batch_size,
    momentum=momentum,
    weight_decay=weight_decay,
    augment=augment,
)
whole = frame[frame["arm"] == "all"]["last"]
record.update(
    "scale",
    {
        "n": n,
        "test": len(samples.y_test),
        "repeats": repeats,
        "networks": len(frame),
        "training_seconds": cache.seconds,
    },
)
record.update("all", {"mean": whole.mean(), "sd": whole.std()})

# %% [markdown]
# ## As many epochs
#
# Dashed: all samples. Shaded: one standard deviation over repeats. Random by class is drawn in grey in every panel.

# %%
record.figure("epochs", figures.accuracy(frame, "epochs"))

# %% [markdown]
# ## As many steps
#
# For the methods in `by_steps`; without any nothing follows here.

# %%
if "steps" in set(frame["count"]):
    record.figure("steps", figures.accuracy(frame, "steps"))

# %% [markdown]
# ## In numbers
#
# Test accuracy at the last epoch, equal epochs, mean ± standard deviation over repeats.

# %%
seen = frame[(frame["count"] == "epochs") & frame["arm"].isin(ARMS)]
table = words(seen, ["arm", "share"], ["last"], "{:.1%}")["last"].unstack("share")[shares]
table.columns = [f"{share:.0%}" for share in shares]
table.loc[[name for name in ARMS if name in arms]].rename(index={name: told for name, (told, _, _) in ARMS.items()})

# %% [markdown]
# Half of the largest cluster of each class dropped (*node*, the authors' third way) keeps what it keeps; where it is among the arms it is told here, beside as many at random.

# %%
compared = against_all(frame, RULE)
record.frame("compared", compared)
for name in ("node", "node-random") if "node" in arms else ():
    (row,) = compared[(compared["arm"] == name) & (compared["count"] == "epochs")].to_dict("records")
    record.update(name, {"kept": row["kept"] / n, "last": row["last"], "difference": row["difference"]})
flattered = compared[(compared["count"] == "epochs") & compared["arm"].isin(ARMS)].groupby("share")["by_best"].mean()
record.update("by_best", {"least": flattered[min(shares)], "most": flattered[max(shares)]})
best = frame[frame["arm"] == "all"]["best"]
record.number("by_best.all", best.mean() - whole.mean())
by_node = (
    f"*Node* keeps {record.text('node.kept', '.0%')} of the samples and reaches {record.text('node.last', '.1%')}; as many at random reach "
    f"{record.text('node-random.last', '.1%')}. "
    if "node" in arms
    else ""
)
Markdown(
    f"{by_node}Choosing the best epoch on the test set would add {record.text('by_best.all', '.2%')} to all "
    f"samples and, in the mean over the methods, {record.text('by_best.least', '.2%')} to the smallest share."
)

# %% [markdown]
# ## Verdict

# %%
beaten = rivals(frame, "heads", [name for name in ("balanced", "pixels", "initial") if name in arms], RULE)
record.frame("rivals", beaten)
hurt, deserved = hurts_not(frame, compared, RULE, "heads"), credit(frame, beaten, RULE)
counted = {word: int((beaten["word"] == word).sum()) for word in ("holds", "fails")}
record.update("verdict", {"word": title(hurt, deserved).word, "hurts_not": hurt.word, "credit": deserved.word,
                          "margin": RULE["margin"], "least": RULE["least"], "better": counted["holds"],
                          "worse": counted["fails"], "of": len(beaten)})  # fmt: skip
told = compared[compared["count"] == "epochs"].assign(share=lambda f: (100 * f["share"]).round().astype(int))
told = told[told["arm"].isin(["heads", "heads-cosine", "balanced", "pixels", "initial", "el2n", "forgetting", FEWER])]
spread = frame[frame["count"] == "epochs"].groupby(["arm", "share"])["last"].std().rename("sd")
told = told.join(spread.rename(lambda share: round(100 * share), level="share"), on=["arm", "share"])
record.update("at", keyed(told, "{arm}.{share}.{column}", ["last", "sd", "difference", "low", "high"]))
Markdown(
    f"*Leaving out does not hurt* **{hurt}**: {hurt.because}\n\n*The kernel deserves the credit* **{deserved}**: {deserved.because}"
)

# %% [markdown]
# *Is less data better anywhere?* **Holds** for a method and share if it beats all samples: one-sided paired t tests, corrected after Holm over all methods, shares and counts.
# It is no part of the verdict, and undecided is no proof that nothing is gained.

# %%
gained = superior(frame, RULE)
record.frame("gained", gained)
most = gained.sort_values(["p", "difference"], ascending=[True, False]).iloc[0]
record.update("gained", {"better": int((gained["word"] == "holds").sum()), "of": len(gained), "arm": ARMS[most["arm"]][0] if most["arm"] in ARMS else most["arm"],
                         "share": most["share"], "difference": most["difference"], "p": most["p"]})  # fmt: skip
Markdown(
    f"Better in {record.numbers['gained.better']} of {len(gained)} comparisons. Nearest to it: {record.numbers['gained.arm']} with "
    f"{record.text('gained.share', '.0%')} kept, {record.text('gained.difference', '+.2%')}, corrected p = {record.text('gained.p', '.2g')}."
)

# %% [markdown]
# No verdict, and on digits and MNIST with one hidden layer looked at afterwards: both kinds of heads without lengths. Heads by the *cosine* of the kernel less heads by the cosine of
# pixels, and less heads by the kernel itself, intervals not corrected:

# %%
for name, other in (("pixels", "pixels"), ("kernel", "heads")):
    if {"heads-cosine", other} <= set(arms):
        beside = rivals(frame, "heads-cosine", [other], RULE)
        told = beside.assign(share=(100 * beside["share"]).round().astype(int))
        record.update(f"cosine_less_{name}", keyed(told, "{share}.{column}", ["difference", "low", "high"]))
        display(told.set_index(["other", "share"])[["difference", "low", "high"]].map("{:+.2%}".format))

# %% [markdown]
# No verdict either: a share less all samples in as few steps as it gets.

# %%
if fewer:
    equal = against_all(frame, RULE, fewer=True)
    record.frame("fewer", equal)
    told = equal[equal["count"] == "epochs"].assign(share=lambda f: (100 * f["share"]).round().astype(int))
    record.update("fewer", keyed(told, "{arm}.{share}.{column}", ["last", "difference", "low", "high"]))
    display(told.set_index(["arm", "share"])[["difference", "low", "high"]].map("{:+.2%}".format))

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | scores of samples | `less_data.scores:scores` | `test_scores_are_what_their_definitions_say` |
# | what each method keeps | `ARMS`, `members`, `node` | `test_every_arm_keeps_as_many_samples`, `test_a_member_of_each_cluster_and_half_of_the_largest` |
# | trainings | `selection.study:study` | `test_every_arm_is_trained_at_every_share_by_epochs_and_steps` |
# | comparisons, verdicts | `against_all`, `rivals`, `superior`, `hurts_not`, `credit`, `selection.verdict:title`, `holm` | `test_less_data_is_better_only_where_that_is_shown`, `test_planted_accuracies_are_judged_by_the_rule`, `test_the_kernel_is_given_credit_only_against_every_rival` |
