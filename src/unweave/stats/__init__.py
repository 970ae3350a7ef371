"""Room: stats. Intervals and tests in which the model is the unit of analysis."""

from unweave.stats.equivalence import equivalence as equivalence
from unweave.stats.fieller import fieller as fieller
from unweave.stats.fieller import ratio as ratio
from unweave.stats.jackknife import Design as Design
from unweave.stats.jackknife import Jackknife as Jackknife
from unweave.stats.jackknife import JackknifeVector as JackknifeVector
from unweave.stats.jackknife import interval as interval
from unweave.stats.jackknife import jackknife as jackknife
from unweave.stats.jackknife import jackknife_vector as jackknife_vector
from unweave.stats.jackknife import leave_outs as leave_outs
from unweave.stats.jackknife import lower_bound as lower_bound
from unweave.stats.jackknife import p_above as p_above
from unweave.stats.jackknife import p_below as p_below
from unweave.stats.jackknife import t_quantile as t_quantile
from unweave.stats.jackknife import upper_bound as upper_bound
from unweave.stats.multiplicity import benjamini_hochberg as benjamini_hochberg
from unweave.stats.multiplicity import holm as holm
from unweave.stats.permutation import Labellings as Labellings
from unweave.stats.permutation import labellings as labellings
from unweave.stats.permutation import permutation_p_values as permutation_p_values
from unweave.stats.permutation import permutation_test as permutation_test
