"""Finding the rest of a behaviour from S: evidence per example, scorers, and a cut-off that promises a recall.

Arrays in, arrays out: no file here imports torch. Methods that need it (`trak`) are given their scores as arrays.
"""

from unweave.influence.discovery.baselines import activation_clustering as activation_clustering
from unweave.influence.discovery.baselines import confident_learning as confident_learning
from unweave.influence.discovery.baselines import gradient_cosine as gradient_cosine
from unweave.influence.discovery.baselines import knn as knn
from unweave.influence.discovery.baselines import spectral_signatures as spectral_signatures
from unweave.influence.discovery.baselines import trak_to_forget as trak_to_forget
from unweave.influence.discovery.calibration import Cut as Cut
from unweave.influence.discovery.calibration import calibrate as calibrate
from unweave.influence.discovery.calibration import confident_rank as confident_rank
from unweave.influence.discovery.calibration import mean_rank as mean_rank
from unweave.influence.discovery.contract import SCORERS as SCORERS
from unweave.influence.discovery.evidence import Evidence as Evidence
from unweave.influence.discovery.evidence import blocks_of as blocks_of
from unweave.influence.discovery.evidence import out_of_fold as out_of_fold
from unweave.influence.discovery.expansion import expansion as expansion
from unweave.influence.discovery.expansion import in_rounds as in_rounds
from unweave.influence.discovery.ladder import RUNGS as RUNGS
from unweave.influence.discovery.ladder import Order as Order
from unweave.influence.discovery.ladder import choose_cut as choose_cut
from unweave.influence.discovery.ladder import order_of as order_of
from unweave.influence.discovery.ladder import posterior as posterior
from unweave.influence.discovery.mixture import Mixture as Mixture
from unweave.influence.discovery.mixture import mixture as mixture
from unweave.influence.discovery.scores import best_first as best_first
