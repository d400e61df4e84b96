from suite.workflows.comparing import compare as compare
from suite.workflows.deleting import delete as delete
from suite.workflows.doctoring import doctor as doctor
from suite.workflows.exporting import export as export
from suite.workflows.foreseeing import plan_compare as plan_compare
from suite.workflows.foreseeing import plan_run as plan_run
from suite.workflows.labelling import note as note
from suite.workflows.labelling import tag as tag
from suite.workflows.merging import merge as merge
from suite.workflows.papers import paper as paper
from suite.workflows.papers import plan_paper as plan_paper
from suite.workflows.planning import plan as plan
from suite.workflows.publishing import publish as publish
from suite.workflows.publishing import verify as verify
from suite.workflows.repeating import repeat as repeat
from suite.workflows.reporting import report as report
from suite.workflows.rescoring import rescore as rescore
from suite.workflows.running import run as run
from suite.workflows.starting_files import init as init
from suite.workflows.stored_studies import studies as studies
from suite.workflows.stored_studies import study as study
from suite.workflows.sweeping import sweep as sweep
from suite.workflows.tables import leaderboard as leaderboard
from suite.workflows.tables import reproduction as reproduction
from suite.workflows.tables import runs as runs
from suite.workflows.tuning import tune as tune

__version__: str
