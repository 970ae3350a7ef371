"""Room: influence. What single examples and sets of them do to models: memorization, cross-influence, proxies.

What differentiates or trains imports torch, and this file none of it: `unweave.influence.events`, `.holdout`,
`.input_curvature`, `.attribution`, `.influence_functions`, `.trak`.
"""

from unweave.influence.lds import LinearDatamodelingScore as LinearDatamodelingScore
from unweave.influence.lds import linear_datamodeling_score as linear_datamodeling_score
from unweave.influence.subsampled import Influences as Influences
from unweave.influence.subsampled import cross_influence as cross_influence
from unweave.influence.subsampled import self_influence as self_influence
from unweave.influence.subsampled import subsets as subsets
