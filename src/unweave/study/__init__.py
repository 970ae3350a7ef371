"""Study: the only room that composes the others: plan, check, run, judge."""

from unweave.study.applicability import applicable as applicable
from unweave.study.assemble import Assembly as Assembly
from unweave.study.assemble import assemble as assemble
from unweave.study.assemble import training_data as training_data
from unweave.study.cases import CASE_NOTES as CASE_NOTES
from unweave.study.cases import CASES as CASES
from unweave.study.cases import DEFAULT_CASES as DEFAULT_CASES
from unweave.study.catalogue import catalogue as catalogue
from unweave.study.citing import bibtex as bibtex
from unweave.study.compare import compare as compare
from unweave.study.compare import run_spec as run_spec
from unweave.study.comparison import Comparison as Comparison
from unweave.study.comparison import check_out as check_out
from unweave.study.methods import DEFAULT_METHODS as DEFAULT_METHODS
from unweave.study.own_code import trusted_files as trusted_files
from unweave.study.spec import MethodChoice as MethodChoice
from unweave.study.spec import Spec as Spec
from unweave.study.spec import case_from_tree as case_from_tree
from unweave.study.spec import case_to_tree as case_to_tree
from unweave.study.spec import read_spec as read_spec
from unweave.study.sweep import Sweep as Sweep
from unweave.study.sweep import run_sweep as run_sweep
from unweave.study.sweep import sweep as sweep
