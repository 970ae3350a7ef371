"""References: which models a question needs, the content-addressed store, and their outputs.

What needs no torch is here; `unweave.references.ensure` trains.
"""

from unweave.references.care import Health as Health
from unweave.references.care import Removed as Removed
from unweave.references.care import gc as gc
from unweave.references.care import manifest as manifest
from unweave.references.care import verify as verify
from unweave.references.carried import Carried as Carried
from unweave.references.in_use import in_use as in_use
from unweave.references.index import StoredObject as StoredObject
from unweave.references.index import same_but_other as same_but_other
from unweave.references.index import stored_objects as stored_objects
from unweave.references.index import touch as touch
from unweave.references.keys import Documents as Documents
from unweave.references.keys import Origin as Origin
from unweave.references.keys import Outputs as Outputs
from unweave.references.keys import Setting as Setting
from unweave.references.keys import about as about
from unweave.references.keys import digest as digest
from unweave.references.keys import installed as installed
from unweave.references.keys import model_fields as model_fields
from unweave.references.keys import outputs_fields as outputs_fields
from unweave.references.keys import read_verified as read_verified
from unweave.references.keys import stored_fields as stored_fields
from unweave.references.leases import lease as lease
from unweave.references.locks import shared as shared
from unweave.references.membership import StoredData as StoredData
from unweave.references.membership import data_fields as data_fields
from unweave.references.membership import data_sets as data_sets
from unweave.references.membership import register as register
from unweave.references.membership import set_fields as set_fields
from unweave.references.migrations import migrate as migrate
from unweave.references.objects import Entry as Entry
from unweave.references.objects import Fields as Fields
from unweave.references.objects import Objects as Objects
from unweave.references.objects import Packed as Packed
from unweave.references.objects import key_of as key_of
from unweave.references.plan import WORLDS as WORLDS
from unweave.references.plan import WorldName as WorldName
from unweave.references.plan import WorldPlan as WorldPlan
from unweave.references.plan import plan as plan
from unweave.references.purge import Elsewhere as Elsewhere
from unweave.references.purge import Purged as Purged
from unweave.references.purge import purge as purge
from unweave.references.sealed import seal as seal
from unweave.references.sealed import unseal as unseal
from unweave.references.store import Store as Store
from unweave.training import TRAINING_VERSION as TRAINING_VERSION
