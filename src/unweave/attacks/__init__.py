"""Room: attacks. Pure functions from arrays to scores per example; higher is always more likely a member."""

from unweave.attacks.contract import ATTACKS as ATTACKS
from unweave.attacks.contract import attack as attack
from unweave.attacks.evaluation import auc as auc
from unweave.attacks.evaluation import balanced_accuracy as balanced_accuracy
from unweave.attacks.evaluation import cut_at_fpr as cut_at_fpr
from unweave.attacks.evaluation import tpr_at_fpr as tpr_at_fpr
from unweave.attacks.lira import Law as Law
from unweave.attacks.lira import lira_offline as lira_offline
from unweave.attacks.lira import lira_online as lira_online
from unweave.attacks.lira import log_likelihood_ratio as log_likelihood_ratio
from unweave.attacks.lira import log_tail as log_tail
from unweave.attacks.lira import shadow_law as shadow_law
from unweave.attacks.population import Cut as Cut
from unweave.attacks.population import fit_cut as fit_cut
from unweave.attacks.population import population_attack as population_attack
from unweave.attacks.rmia import rmia as rmia
from unweave.attacks.signals import correctness_score as correctness_score
from unweave.attacks.signals import entropy_score as entropy_score
from unweave.attacks.signals import loss_score as loss_score
from unweave.attacks.signals import modified_entropy_score as modified_entropy_score
from unweave.attacks.signals import scaled_confidence_score as scaled_confidence_score
from unweave.attacks.svc import Compared as Compared
from unweave.attacks.svc import Efficacy as Efficacy
from unweave.attacks.svc import Signals as Signals
from unweave.attacks.svc import svc_efficacy as svc_efficacy
