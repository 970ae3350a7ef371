"""Room: influence. What single examples and sets of them do to models: memorization, cross-influence, proxies.

What differentiates or trains imports torch, and this file none of it: `unweave.influence.events`, `.holdout`,
`.input_curvature`, `.attribution`, `.influence_functions`, `.trak`.
"""

from unweave.influence.entanglement import entanglement as entanglement
from unweave.influence.lds import LinearDatamodelingScore as LinearDatamodelingScore
from unweave.influence.lds import linear_datamodeling_score as linear_datamodeling_score
from unweave.influence.ranking import DIRECTION as DIRECTION
from unweave.influence.ranking import rank_leave_outs as rank_leave_outs
from unweave.influence.regime import HIGH_CROSS as HIGH_CROSS
from unweave.influence.regime import HIGH_SELF as HIGH_SELF
from unweave.influence.regime import Margins as Margins
from unweave.influence.regime import Range as Range
from unweave.influence.regime import Regime as Regime
from unweave.influence.regime import level as level
from unweave.influence.regime import regime_of as regime_of
from unweave.influence.regime import unseen_share as unseen_share
from unweave.influence.subsampled import Influences as Influences
from unweave.influence.subsampled import cross_influence as cross_influence
from unweave.influence.subsampled import mean_leave_outs as mean_leave_outs
from unweave.influence.subsampled import self_influence as self_influence
from unweave.influence.subsampled import self_leave_outs as self_leave_outs
