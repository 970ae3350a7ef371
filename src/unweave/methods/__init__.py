"""Methods: post-processing algorithms U that see the original, S and D∖S, never the behaviour."""

import importlib
import pkgutil

from unweave.methods.budgets import Sizes as Sizes
from unweave.methods.budgets import Within as Within
from unweave.methods.budgets import cost_of as cost_of
from unweave.methods.budgets import fit as fit
from unweave.methods.budgets import within as within
from unweave.methods.contract import METHODS as METHODS
from unweave.methods.contract import Batch as Batch
from unweave.methods.contract import Declared as Declared
from unweave.methods.contract import Examples as Examples
from unweave.methods.contract import Given as Given
from unweave.methods.contract import History as History
from unweave.methods.contract import Method as Method
from unweave.methods.contract import Moment as Moment
from unweave.methods.contract import Net as Net
from unweave.methods.contract import Rewind as Rewind
from unweave.methods.contract import method as method
from unweave.methods.loop import Edited as Edited
from unweave.methods.loop import run as run
from unweave.methods.meta import chain as chain
from unweave.methods.meta import random_scores as random_scores
from unweave.methods.meta import run_assigned as run_assigned
from unweave.methods.meta import thirds as thirds
from unweave.methods.refinement import Assignment as Assignment
from unweave.methods.refinement import confidence_scores as confidence_scores
from unweave.methods.refinement import embedding_scores as embedding_scores
from unweave.methods.refinement import rum as rum

# A method is registered when its file is imported: every file of this folder is.
for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
