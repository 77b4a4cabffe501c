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
# # Relations
#
# Seen as vectors, the updates of two labelled samples can point the same way, stand at a right angle, or oppose each other:
# the samples are *interchangeable*, *unrelated* or *contradictory* (the paper's Figure 3; [our definitions and
# derivations](../book/questions/relations.md)). The paper describes the relations in words. Our thresholds are on the cosine of the
# angle: interchangeable from 0.5 (at most 60°), unrelated below 0.1 in size, contradictory from -0.1 down, weak between.
# Because the paper calls everything beyond a right angle contradictory, that share is shown beside.
#
# Five questions, and **the rules for their verdicts**, stated before looking:
#
# 1. *Are contradictions rare at initialisation because of the number of classes?* In the wide limit a pair of different labels keeps the factor
#    $1 - 4/K$ of the kernel that the same two inputs would have under one label. This **law holds** at initialisation if
#    the measured factor is within 0.1 of it for every $K$ tried, and contradictions between different labels are rare (at
#    most 5 %) with more than four classes and common (at least 50 %) with two and three. For $K = 2$ the factor is -1 by
#    definition, so there only the share is a test.
# 2. *Do flipped labels, once learned, make contradictions?* Judged at the end of training with the largest share of flipped
#    labels, and only if every network has then learned at least 95 % of the labels it was given; otherwise it *cannot be judged*.
#    It holds if in every network contradictory pairs are at least twice as frequent between flipped samples and their true class
#    as between clean samples of two labels. Whether contradictions are rare among all pairs is judged by the same 5 %.
# 3. *Does centring the signs make different labels oppose?* It holds if at initialisation at least half of the pairs of
#    different labels lie beyond a right angle with centred signs, and fewer than half without.
# 4. *May the kernel be frozen?* From the first moment before the last on from which Pearson's and Spearman's correlations of its
#    cosines with the final ones are at least 0.9, over pairs of one label and over pairs of two, each averaged over seeds. Asked twice,
#    with a constant and with a decaying learning rate. It *cannot be judged* if a network is right on less than 70 % of the test part at the
#    end (added on 26 November 2026, after the results): what has hardly begun to learn says nothing of when to stop looking.
# 5. *Are the authors' numbers ours?* No rule: theirs is a network of 1.2 M parameters over 60,000 samples. Both are shown.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {}  # of the architecture
n = 600  # training samples in the kernel
n_train = None  # training samples of each network, all by default
moments = [0, 1, 2, 4, 8, 15, 30]  # epochs after which the network is looked at; the last is where training ends
seeds = 3  # networks of each kind
classes = [2, 3, 4]  # smaller tasks, drawn anew for each seed
flips = [0.1, 0.3]  # shares of training labels flipped
flip_moments = [0, 4, 15, 30, 60, 80]  # as moments; wrong labels take longer to learn
lr = 0.1
batch_size = 128
momentum = 0.9
weight_decay = 0.0005
schedule = "constant"  # of the learning rate, or "step": times 0.7 every two epochs
other_schedule = "step"  # for the drift, beside the first
seed = 0
device = "auto"
bench_records = "../results/bench"  # where bench/mnist.py has left its record
results = "../results/interactive/07-relations"

# %%
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.kernel import reading as relations
from lpntk.learn.models import count_parameters
from lpntk.phenomena.cost import records as benchmarks
from lpntk.phenomena.relations import authors, drift, drift_figures, figures, readings, study, verdicts
from lpntk.phenomena.relations.law import by_classes, widest_gap
from lpntk.report import panels, plots
from lpntk.report.results import Results
from lpntk.report.spread import numbers, words

plots.use_style()
record, cache = Results(results), Cache()
RULE = {
    "rare": 0.05,  # share of contradictory pairs, at most
    "common": 0.5,  # the same, and of pairs beyond a right angle, at least
    "close": 0.1,  # of the measured factor to 1 - 4/K
    "times": 2,  # contradictions of flipped samples with their true class, over those of clean pairs of two labels
    "learned": 0.95,  # share of the labels as given in every network before flips are judged
    "frozen": 0.9,  # all four correlations with the final cosines
    "accuracy": 0.7,  # of every network on the test part before freezing is judged
}
sgd = {"lr": lr, "batch_size": batch_size, "momentum": momentum, "weight_decay": weight_decay, "schedule": schedule}
how = {
    "model": model,
    "options": options,
    "n": n,
    "drawn_by": seed,
    "moments": moments,
    "cache": cache,
    "device": device,
}

# %% [markdown]
# ## The networks
#
# One per seed on the whole task; one per seed and smaller number of classes, with as many outputs as classes; one per seed
# and share of flipped labels. Each is kept at several moments of its training.

# %%
samples, of = study.first_samples(data.load(dataset), n_train, seed), range(seed, seed + seeds)
whole = study.plain(samples, of, **how, **sgd)
few = study.few_classes(samples, [k for k in classes if k < samples.k], of, **how, **sgd)
noisy = study.with_flips(samples, [0.0, *flips], of, **how | {"moments": flip_moments}, **sgd)
x, y = whole[0].x, whole[0].y
networks, diverged = len(whole + few + noisy), sum(trial.run.diverged for trial in whole + few + noisy)
record.update(
    "scale",
    {
        "n": len(y),
        "n_train": len(samples.y_train),
        "seeds": seeds,
        "classes": samples.k,
        "epochs": max(moments),
        "training_seconds": cache.seconds,
    },
)
accuracy = study.accuracies(whole)
record.frame("accuracy", accuracy)
record.number("ours.test", accuracy[accuracy.epoch == max(moments)].test.mean())
print(f"{networks} networks, {diverged} of them diverged")
words(accuracy, ["epoch"], ["train", "test"])

# %% [markdown]
# ## Updates as arrows
#
# The sample whose update is opposed most by another one, in the first network at the end of training, beside the sample
# most similar to it, the one nearest to a right angle, and the one most opposed. The angles are those between the
# updates in the space of all parameters; the lengths are their norms, the longer one drawn with length one. The title
# says what the pair is by the thresholds.

# %%
kernels = study.kernels_of(whole)
first = next(iter(kernels))
kappa = kernels[first][max(moments)]
cosines = relations.cosine(kappa)
anchors = relations.most_opposed(cosines, 5)
record.figure("vectors", figures.vectors(samples, x, y, kappa, anchors[0]))

# %% [markdown]
# The five samples that are opposed most, with their neighbours and the cosines above the images (blue: same label, vermilion: another).

# %%
record.figure("neighbours", panels.gallery(samples, x, y, cosines, anchors))

# %% [markdown]
# ## How many pairs are what
#
# All pairs of different samples of the kernel, over training; the figure shows means over networks, the table the spread too.

# %%
table = readings.over_training(kernels, y)
RELATED = ["mean", "negative", "interchangeable", "weak", "unrelated", "contradictory"]
final = table[(table.epoch == max(moments)) & (table.labels != "same")]
record.frame("shares", table)
record.update("final", numbers(final, ["labels"], ["negative", "contradictory"]))
record.figure("shares", figures.shares_over_training(table))
# %%
words(table, ["labels", "epoch"], RELATED, readings.FORMS)

# %% [markdown]
# `negative` is the share beyond a right angle, `mean` the mean cosine.
#
# ### Beside the authors' numbers
#
# The authors' public notebook counts all pairs of the 60,000 training samples of MNIST with their LeNet of 1.2 M parameters, and
# gives the number of samples whose most similar sample, by the kernel, is themselves over the number for which it is not. The
# more samples, the more rivals: so that ratio depends on $n$, and ours is shown for several.

# %%
selves = readings.of_themselves(kernels, seed)
record.frame("self-similarity", selves)
record.update("authors", authors.AUTHORS)
record.figure("self-similarity", figures.self_similarity(selves, authors.AUTHORS))
# %%
told = {**sgd, "parameters": f"{count_parameters(whole[0].run.network(seed)):,}",
        "training samples": f"{len(samples.y_train):,}"}  # fmt: skip
everything = benchmarks.all_pairs(bench_records)
authors.beside_authors(table, selves, accuracy, told, f"{model}, {dataset}, n = {len(y)}", everything)

# %% [markdown]
# The authors' settings are those of their code for MNIST; the accuracy of the network behind their numbers is not known to us.
# The column of all 60,000 samples, where there is one, is that of the benchmark's network, committed with its record (see
# *What it costs*): the paper's architecture with our training, which is shorter than the authors'.

# %% [markdown]
# ## Why contradictions are rare at initialisation: the number of classes
#
# For each pair of different labels we also compute the kernel the same two inputs would have if they shared a label. The law says
# the ratio of both is $1 - 4/K$, so the share of contradictory pairs should follow from the kernel under one label alone
# (the bars in the right panel). Left: least squares over pairs.

# %%
law = by_classes([*few, *whole])
LAW = ["factor", "law", "contradictory", "predicted", "negative", "all", "one_label_negative"]
record.frame("classes", law)
record.update("whole", numbers(law[law.classes == samples.k], ["moment"], ["factor", "law", "one_label_negative"]))
record.figure("classes", figures.by_classes(law))
# %%
words(law, ["moment", "classes"], LAW, readings.FORMS)

# %% [markdown]
# `all` is the contradictory share of all pairs, those of one label included; `one_label_negative` the share of pairs that would
# oppose each other even under one label. After training the law need not hold: the
# weights of the last layer are no longer independent of the features.
#
# ## Flipped labels
#
# The same task with some training labels replaced by others. A flipped sample looks like its true class and is pulled
# towards the one it was given. Wrong labels are learned last, so these networks, those without flips too, are trained for
# `flip_moments`. Left: all pairs, over training. Right: at its end, by what the pair is.

# %%
flipped = readings.by_flips(noisy)
record.frame("flips", flipped)
record.figure("flips", figures.flips(flipped))
# %%
at_end = flipped[flipped.epoch == max(flip_moments)]
words(at_end, ["percent", "group"], ["mean", "negative", "contradictory", "learned"], readings.FORMS)

# %% [markdown]
# `learned` is the training accuracy on the labels as given: below 100 % some flips are not memorised.
#
# ## Four choices of signs
#
# The same networks and the same pairs, with the signs of the label, all ones, centred (the signs minus their mean), and the error
# $e_y - q$ itself, which keeps sizes too. `separation` is the probability that a pair of one label has the larger cosine.

# %%
ends = {s: study.kernels_of(whole, s, ends=True) for s in ("label", "ones", "centred", "error")}
signs = readings.by_signs(ends, y)
record.frame("signs", signs)
record.figure("signs", figures.by_signs(ends, y, first))
# %%
words(signs, ["signs", "epoch", "labels"], ["mean", "negative", "contradictory", "separation"], readings.FORMS)

# %% [markdown]
# ## Drift: may the kernel be frozen?
#
# Correlation of the kernel with the final one of the same network, over pairs of one label and of two apart (together, the label
# alone would make them agree). Line and band: mean and standard deviation over networks. Dotted: agreement of the final cosines of
# two networks that differ by their seed alone.

# %%
drifted, between = drift.to_the_end(kernels, y), drift.between_seeds(kernels, y)
record.frame("drift", drifted)
record.frame("between", between)
record.update("between", numbers(between[between.labels == "different"], ["labels"], ["pearson"]))
record.figure("drift", drift_figures.agreement(drifted, between, RULE["frozen"]))
# %%
words(drifted, ["of", "labels", "epoch"], drift.MEASURES, "{:.2f}")

# %% [markdown]
# ### Is it the learning rate?
#
# A network whose learning rate decays stops moving, and its kernel with it. The same networks trained with another schedule: the
# smallest of the four correlations, averaged over seeds, that the rule looks at.

# %%
other = study.plain(samples, of, **how, **sgd | {"schedule": other_schedule})
other_drift = drift.to_the_end(study.kernels_of(other), y, of=["cosine"])
record.frame("drift-other", other_drift)
by_schedule = {schedule: drifted, other_schedule: other_drift}
record.figure("schedules", drift_figures.schedules(by_schedule, RULE["frozen"]))

# %% [markdown]
# ### Its spectrum
#
# Eigenvalues as shares of the trace, of the first network, and the effective rank (the exponential of their entropy) of all,
# with the signs of the label and with centred ones.

# %%
spectra = {"label": drift.spectra(kernels), "centred": drift.spectra(study.kernels_of(whole, "centred"))}
ranks = {name: drift.ranks(found) for name, found in spectra.items()}
for name, ranked in ranks.items():
    record.frame(f"ranks-{name}", ranked)
    record.update(f"spectrum.{name}", numbers(ranked[ranked.epoch == min(moments)], ["epoch"], ["top"]))
record.figure("spectrum", drift_figures.spectrum(spectra["label"], ranks))

# %% [markdown]
# ## Verdicts

# %%
judged = {
    "law": verdicts.law(law, RULE),
    "flips": verdicts.flips(flipped, RULE),
    "centring": verdicts.centring(signs, RULE),
    "cosines": verdicts.freezing(drifted, accuracy, RULE),
    "kernel": verdicts.freezing(drifted, accuracy, RULE, of="kernel"),
    "other": verdicts.freezing(other_drift, study.accuracies(other), RULE),
}
worst, flip, centred = widest_gap(law), verdicts.flips_at_end(flipped), verdicts.beyond(signs)
frozen = verdicts.frozen(drifted, judged["cosines"], RULE)
later = verdicts.frozen(other_drift, judged["other"], RULE)
common = verdicts.how_common(flip["all"], RULE)
record.update("verdict.law", {"word": judged["law"].word, "failed": judged["law"].because})
record.update("verdict.law.after", worst)
record.update("verdict.flips", {"word": judged["flips"].word, "common": common, **flip})
record.update("verdict.centred", centred)
record.update("verdict.frozen", frozen)
record.update("verdict.other", {"schedule": other_schedule, **later})

# %%
shares = law.groupby(["moment", "classes"]).contradictory.mean()
contradictory = {
    moment: ", ".join(f"{share:.2%} (K = {k})" for k, share in shares[moment].items())
    for moment in ("initial", "trained")
}
of_all, themselves = final[final.labels == "all"].positive.mean(), selves[selves.n == len(y)].ratio.mean()
first_moment, last_moment = (f"cosine.{frozen[name]}" for name in ("first", "last_but_one"))
Markdown(f"""
1. The law $1 - 4/K$ **{judged["law"]}** at initialisation (K at which it fails: {judged["law"].because}). Of the pairs of
   different labels, contradictory are {contradictory["initial"]} before training, and {contradictory["trained"]} after it. There
   it does worst at K = {worst["classes"]}: it would make {worst["predicted"]:.1%} contradictory, measured are
   {worst["contradictory"]:.1%}.
2. That flipped labels, once learned, make contradictions **{judged["flips"]}**. With {flip["percent"]} % flipped,
   {flip["learned"]:.2%} of the labels as given are learned after {flip["epochs"]} epochs (in the worst network
   {flip["learned_least"]:.1%}), and contradictory are {flip["true_class"]:.2%} of the pairs of a flipped sample with its true class,
   against {flip["two_labels"]:.2%} of the clean pairs of two labels (the smallest ratio of a network: {flip["ratio"]:.1f}). Their
   mean cosines are {flip["true_class_mean"]:.3f} and {flip["two_labels_mean"]:.3f}; beyond a right angle lie
   {flip["true_class_opposed"]:.1%} and {flip["two_labels_opposed"]:.1%}. Among all pairs contradictions are **{common}**
   ({flip["all"]:.2%}), and {flip["opposed"]:.1%} lie beyond a right angle ({flip["opposed_before"]:.1%} after
   {flip["epochs_before"]} epochs; {flip["opposed_without"]:.1%} without flips).
3. That centring the signs makes different labels oppose at initialisation **{judged["centring"]}**: beyond a right angle lie
   {judged["centring"].because}. After training: {centred["centred.trained"]:.1%} and {centred["label.trained"]:.1%}.
4. That the cosines may be frozen before the end **{judged["cosines"]}**: {judged["cosines"].because}. That the kernel itself may be
   **{judged["kernel"]}**: {judged["kernel"].because}. The smallest correlation with the final cosines, in the mean over networks, is
   {frozen[first_moment]:.2f} at epoch {frozen["first"]} and {frozen[last_moment]:.2f} at epoch {frozen["last_but_one"]}; where they are
   first taken for frozen, or else at the latter, the worst single network has {frozen["network"]:.2f}. With the learning rate schedule
   *{other_schedule}* it **{judged["other"]}**: {judged["other"].because}; these correlations are {later[first_moment]:.2f},
   {later[last_moment]:.2f} and {later["network"]:.2f}.
5. Of all pairs {of_all:.2%} have a positive kernel ({authors.AUTHORS["positive"]:.2%} in the authors' notebook). For each sample that
   is not most similar to itself there are {themselves:.2f} that are ({authors.AUTHORS["self_similarity"]} there), among {len(y)}
   samples here and {authors.AUTHORS["n"]} there.
""")

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | cosine, relations, shares | `cosine`, `reading:shares`, `trio` | `test_the_three_relations_of_hand_made_gradients`, `test_a_pair_has_one_relation`, `test_a_trio_of_hand_made_gradients` |
# | shares over training, by signs, with flips, of themselves | `over_training`, `readings:by_signs`, `by_flips`, `of_themselves` | `test_the_shares_of_planted_kernels`, `test_self_similarity_falls_with_rivals` |
# | authors' numbers and ours | `beside_authors` | `test_our_numbers_beside_the_authors` |
# | the law, the kernel under one label | `as_one_label`, `measured_factor` | `test_the_kernel_under_one_label_against_the_definition`, `test_the_measured_factor_is_a_least_squares_slope` |
# | fewer classes, flipped labels | `restrict`, `flip` | `test_restricting_classes_renumbers_and_drops`, `test_flipping_changes_exactly_the_share_and_always_the_label`, `test_the_groups_of_pairs_that_flips_make` |
# | drift, spectrum, effective rank | `drift:agreement`, `drift:spectrum`, `effective_rank`, `frozen_from` | `test_agreement_is_the_correlation_over_pairs_of_each_group`, `test_the_effective_rank_of_planted_spectra`, `test_frozen_from` |
# | networks at several moments | `train_moments` | `test_a_network_is_kept_as_it_was_at_each_moment` |
# | verdicts | `relations.verdicts:law`, `verdicts:flips`, `centring`, `freezing` | `test_the_rule_of_the_law`, `test_the_rule_of_the_flips`, `test_the_rule_of_centring` |
