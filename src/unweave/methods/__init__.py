"""Methods: post-processing algorithms U that see the original, S and D∖S, never the behaviour."""

from unweave.methods import baselines as _baselines
from unweave.methods import dampening as _dampening
from unweave.methods import distillation as _distillation
from unweave.methods import gradient as _gradient
from unweave.methods import layers as _layers
from unweave.methods import preference as _preference
from unweave.methods import saliency as _saliency
from unweave.methods import sparsity as _sparsity
from unweave.methods.contract import METHODS as METHODS
from unweave.methods.contract import Batch as Batch
from unweave.methods.contract import Declared as Declared
from unweave.methods.contract import Examples as Examples
from unweave.methods.contract import Method as Method
from unweave.methods.contract import Net as Net
from unweave.methods.contract import method as method
from unweave.methods.loop import Edited as Edited
from unweave.methods.loop import run as run

# Imported to register what they hold.
del _baselines, _dampening, _distillation, _gradient, _layers, _preference, _saliency, _sparsity
