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
# # The authors' counts
#
# The authors' public notebook counts all pairs of the 60,000 training samples of MNIST with a LeNet of 1.2 million parameters:
# 0.257 % of them have a negative kernel, and for each sample that is most similar to another one there are 0.883 that are most
# similar to themselves. Our record of the same architecture has more of both, many times more of the first
# ([relations](../book/questions/relations.md)). What could lie between? Suspects, one at a time: how far the network is trained and
# how fast, momentum, what its inputs are scaled to, where its biases begin; and, with the same networks, dropout that acts while the kernel
# is taken, other signs, the logarithm of the softmax in place of the logits, which pairs are counted, and the factor $1/K$.
#
# **The rules**, stated before looking:
#
# 1. A network has *learned* if it is right on at least 90 % of the held-out images. A cell with one that has not is shown and
#    *cannot be judged*, because theirs had learned.
# 2. The *negative share* of a cell **is theirs** if the 95 % interval of its mean over networks (Student's t) lies from 0.05 % to 1 %,
#    a factor of four or five around 0.257 %; it is not if the interval lies outside altogether; otherwise it is undecided.
# 3. The *ratio* **is theirs** if its interval lies from 0.65 to 1.2 (a factor of 1.36 around 0.883), by the same words. More samples are more
#    rivals, so only a ratio among all training samples is judged: that of the recipe at its last moment, and that of the learned cell with
#    dropout off, the signs of the label, and the mean negative share nearest to theirs (by its logarithm).
# 4. The difference is **found** if in one cell both are theirs. If some cell has the one and none has both, it is found in part; if none has
#    either, what was tried is ruled out as the reason alone.
# 5. Each suspect *moves* the negative share towards theirs or away if the paired difference over networks of the distance between the logarithms,
#    against the recipe after as many epochs (with the same state of the network where the suspect is a way to look), has a 95 % interval on one
#    side of zero; otherwise it is undecided.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "lenet"  # with dropout, as the paper's
options = {}  # of the architecture
n = 500  # training samples of the kernels
rows = 200  # of these, compared with all training samples
held_out = 300  # test images for the accuracy
seeds = 3  # networks of each training
# in the order of training; what is no field of suspects.Training changes the recipe below
trainings = {
    "recipe": {"epochs": 6},
    "slow": {"epochs": 6, "lr": 0.01},
    "late": {"epochs": 2, "after": ["recipe", 4], "lr": 0.003},
    "no-momentum": {"epochs": 6, "momentum": 0.0},
    "pixels": {"epochs": 6, "pixels": True},
    "no-biases": {"epochs": 6, "biases": False},
}
lr = 0.1  # the recipe, as the authors' code has it for MNIST
batch_size = 128
momentum = 0.9
weight_decay = 0.0005
schedule = "step"
seed = 0
device = "auto"
results = "../results/interactive/19-authors"
