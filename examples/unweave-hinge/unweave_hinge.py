"""Inverted hinge: lower the probability of the label of S, raise that of the runner-up, and stop there."""

from torch.nn.functional import one_hot

from unweave.methods import Method, method
from unweave.methods.contract import joint_pass
from unweave.methods.losses import cross_entropy

SOURCE = """@inproceedings{cha2025loku,
  author = {Cha, Sungmin and Cho, Sungjun and Hwang, Dasol and Lee, Moontae},
  title = {Towards Robust and Parameter-Efficient Knowledge Unlearning for {LLMs}},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year = {2025}, eprint = {2408.06621}, archiveprefix = {arXiv},
}"""


@method(
    name="inverted_hinge",
    family="ascent",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="cha2025loku",
    bibtex=SOURCE,
    equation="inverted hinge loss, with CE(D∖S)",
)
def inverted_hinge(*, weight: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1) -> Method:
    """Loss on S that is bounded, where gradient ascent has no floor: 1 + p_y − max_{c≠y} p_c, with CE(D∖S).

    Cha et al. 2025 (arXiv 2408.06621), for the tokens of a text. Defaults: epochs and rate of `neggrad_plus`.
    """

    def step(net, aux, batches, i, key):
        forget, retain = batches["forget"], batches["retain"]
        p = net(forget.x).softmax(-1)
        label = one_hot(forget.y, p.shape[-1])
        hinge = 1 + (p * label).sum(-1) - (p - label).amax(-1)
        return weight * hinge.mean() + cross_entropy(net(retain.x), retain.y).mean()

    return Method(step, epochs, lr, passes=joint_pass)
