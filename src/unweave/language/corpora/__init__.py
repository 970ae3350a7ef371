"""Corpora: generated biographies with planted behaviours and their probes, and readers of real text."""

from unweave.language.corpora.behaviours import BEHAVIOURS as BEHAVIOURS
from unweave.language.corpora.behaviours import Planted as Planted
from unweave.language.corpora.corpus import Corpus as Corpus
from unweave.language.corpora.corpus import make_corpus as make_corpus
from unweave.language.corpora.documents import Document as Document
from unweave.language.corpora.documents import Fact as Fact
from unweave.language.corpora.documents import fingerprint as fingerprint
from unweave.language.corpora.probe import Probe as Probe
from unweave.language.corpora.probes import GROUPS as GROUPS
from unweave.language.corpora.probes import Probes as Probes
from unweave.language.corpora.probes import make_probes as make_probes
from unweave.language.corpora.selection import UNITS as UNITS
from unweave.language.corpora.selection import select as select
from unweave.language.corpora.texts import read_lines as read_lines
from unweave.language.corpora.texts import read_messages as read_messages
from unweave.language.corpora.texts import read_text as read_text
from unweave.language.corpora.tofu import Answered as Answered
from unweave.language.corpora.tofu import Texts as Texts
from unweave.language.corpora.tofu import read_tofu as read_tofu
from unweave.language.corpora.tofu import training_documents as training_documents
from unweave.language.corpora.world import World as World
from unweave.language.corpora.world import make_world as make_world
