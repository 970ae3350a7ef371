"""Methods: post-processing algorithms U that see the original, S and D∖S, never the behaviour."""

import importlib
import pkgutil

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

# A method is registered when its file is imported: every file of this folder is.
for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
