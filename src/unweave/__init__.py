"""unweave: did your method untrain or unlearn? Reference models by the hundred, with intervals."""

from unweave._errors import UnweaveError as UnweaveError
from unweave._errors import UserError as UserError
from unweave._types import Estimate as Estimate
from unweave._types import NotMeasured as NotMeasured
from unweave._version import __version__ as __version__
from unweave.problem import BehaviourChoice as BehaviourChoice
from unweave.problem import Case as Case
from unweave.problem import DataChoice as DataChoice
from unweave.problem import ForgetChoice as ForgetChoice
from unweave.problem import LearnerChoice as LearnerChoice
from unweave.problem import ProbeChoice as ProbeChoice
from unweave.problem import ReferenceChoice as ReferenceChoice
from unweave.study import Comparison as Comparison
from unweave.study import compare as compare
