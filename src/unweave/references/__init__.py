"""References: which models a question needs, the content-addressed store, and their outputs.

What needs no torch is here; `unweave.references.ensure` trains.
"""

from unweave.references.carried import Carried as Carried
from unweave.references.keys import Origin as Origin
from unweave.references.keys import Outputs as Outputs
from unweave.references.keys import Setting as Setting
from unweave.references.keys import about as about
from unweave.references.keys import digest as digest
from unweave.references.keys import model_fields as model_fields
from unweave.references.keys import outputs_fields as outputs_fields
from unweave.references.keys import read_verified as read_verified
from unweave.references.objects import Entry as Entry
from unweave.references.objects import Objects as Objects
from unweave.references.objects import Packed as Packed
from unweave.references.objects import key_of as key_of
from unweave.references.plan import WORLDS as WORLDS
from unweave.references.plan import WorldName as WorldName
from unweave.references.plan import WorldPlan as WorldPlan
from unweave.references.plan import plan as plan
from unweave.references.sealed import seal as seal
from unweave.references.sealed import unseal as unseal
from unweave.references.store import Store as Store
