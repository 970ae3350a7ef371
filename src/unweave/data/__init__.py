"""Data: sources of examples with stable ids and fingerprints. Imports no other room."""

from unweave.data import files as files
from unweave.data import folders as folders
from unweave.data import shapes as shapes
from unweave.data.dataset import Dataset as Dataset
from unweave.data.dataset import Encoding as Encoding
from unweave.data.dataset import Examples as Examples
from unweave.data.dataset import Ids as Ids
from unweave.data.dataset import content_hashes as content_hashes
from unweave.data.dataset import fingerprint as fingerprint
from unweave.data.dataset import row_prints as row_prints
from unweave.data.dataset import state_of_files as state_of_files
from unweave.data.dataset import table_prints as table_prints
from unweave.data.sources import SOURCES as SOURCES
from unweave.data.sources import load as load
from unweave.data.tables import feature_names as feature_names
from unweave.data.text_columns import without_values as without_values
