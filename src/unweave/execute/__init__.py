"""Execute: tasks as data (a registered name and JSON arguments), run here, by worker processes or by Ray."""

from unweave.execute.crew import Crew as Crew
from unweave.execute.crew import Patience as Patience
from unweave.execute.crew import crew_of_workers as crew_of_workers
from unweave.execute.failures import WorkerError as WorkerError
from unweave.execute.failures import out_of_memory as out_of_memory
from unweave.execute.ray_connect import check_ray as check_ray
from unweave.execute.ray_engine import on_ray as on_ray
from unweave.execute.run import run_tasks as run_tasks
from unweave.execute.tasks import Away as Away
from unweave.execute.tasks import Task as Task
from unweave.execute.tasks import task as task
