"""Learners: training algorithms A as pure functions of one state, with their recipe.

What needs no torch is here; `unweave.learners.contract`, `.nets` and `.noise` need it.
"""

from unweave.learners.specs import LEARNERS as LEARNERS
from unweave.learners.specs import NO_TOKEN as NO_TOKEN
from unweave.learners.specs import LearnerSpec as LearnerSpec
from unweave.learners.specs import Recipe as Recipe
from unweave.learners.specs import smallest_batch as smallest_batch
from unweave.learners.specs import specify as specify
