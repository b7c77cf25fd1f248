"""Starts the workers as processes, keeps them running, and has them leave in order."""

from pipeline.supervisor.budget import RestartBudget
from pipeline.supervisor.errors import RefusedError, SupervisorError
from pipeline.supervisor.roster import Worker, endpoints, roster
from pipeline.supervisor.staff import StageStaff
from pipeline.supervisor.status import Status, is_running, read_status
from pipeline.supervisor.supervisor import Process, Supervisor, worker_command
from pipeline.supervisor.vigil import Vigil

__all__ = [
    "Process",
    "RefusedError",
    "RestartBudget",
    "StageStaff",
    "Status",
    "Supervisor",
    "SupervisorError",
    "Vigil",
    "Worker",
    "endpoints",
    "is_running",
    "read_status",
    "roster",
    "worker_command",
]
