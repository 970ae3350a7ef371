"""Room: influence. What single examples and sets of them do to models: memorization, cross-influence, proxies."""

from unweave.influence.subsampled import Influences as Influences
from unweave.influence.subsampled import cross_influence as cross_influence
from unweave.influence.subsampled import self_influence as self_influence
