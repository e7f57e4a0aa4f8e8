"""A real Slurm on this machine: controller and nodes as root on localhost, without accounting and control groups."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

# Jobs start with a clean environment, so the configuration must lie where Slurm looks for it by itself.
FOLDER = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
OURS = "# A cluster of goodsubnet's tests.\n"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
# Pretended accelerators.
DEVICE_FILES = ("/dev/null", "/dev/zero")
# A daemon ends with the tests, also where they are killed.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")


def why_not_here() -> str | None:
    """Why no cluster can be started on this machine; None if it can."""
    if os.geteuid() != 0:
        return "Slurm's daemons must be started by root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)"
    foreign = [path for path in map(FOLDER.joinpath, FILES) if path.exists() and OURS not in path.read_text()]
    if foreign:
        return f"{foreign[0]} is that of another cluster"
    # Those that live: a killed one may stay as a zombie.
    living = ("pgrep", "--runstates", "R,S,D", "--exact")
    running = [name for name in ("slurmctld", "slurmd") if subprocess.run([*living, name]).returncode == 0]
    if running:
        return f"{running[0]} is running already"
    return None


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_until(condition, what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(0.1)


class Slurm:
    """A cluster that runs within `with`.

    folder: for its state and logs. nodes: name -> pretended accelerators, at most two; each has `cpus` and `memory`
    (MB), whatever this machine has. The partition `main` has all of them, `urgent`, which preempts it, too, and each
    node is a partition of its own name.
    """

    def __init__(self, folder: Path, nodes: Mapping[str, int], cpus: int = 4, memory: int = 8000) -> None:
        self.folder, self.nodes, self.cpus, self.memory = folder, dict(nodes), cpus, memory
        self._daemons: dict[str, subprocess.Popen] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Slurm":
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove_files)
            self._write_files()
            self._start_munge(stack)
            stack.callback(self._end_daemons)
            self._start("slurmctld", "slurmctld", "-D", "-i")
            for node in self.nodes:
                self.start_node(node)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-N", node)
        wait_until(lambda: self.state(node) in ("idle", "mixed", "allocated"), f"{node} is up")

    def kill_node(self, node: str) -> None:
        """Kill its daemon, and what runs on it, as if the power were cut."""
        daemon = self._daemons.pop(node)
        jobs = [line.split("|")[0] for line in output_of("squeue", "-h", "-w", node, "-o", "%A|%N").split()]
        daemon.kill()
        daemon.wait()
        for job in jobs:
            for process in self.processes_of(job):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def state(self, node: str) -> str:
        # Nothing is known while the controller starts.
        found = subprocess.run(["sinfo", "-h", "-N", "-n", node, "-o", "%T"], capture_output=True, text=True).stdout
        return found.split()[0] if found.split() else "unknown"

    def jobs(self) -> list[dict[str, str]]:
        """What Slurm knows of each job, also of those that have ended."""
        lines = output_of("scontrol", "--oneliner", "show", "job").splitlines()
        return [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines if "JobId=" in line]

    @staticmethod
    def processes_of(job: str) -> list[int]:
        """The processes of a job, those that watch over it included."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes()
                if f"SLURM_JOB_ID={job}".encode() in environment or f"slurmstepd: [{job}.".encode() in command:
                    found.append(int(folder.name))
        return found

    def _start(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as log:
            self._daemons[name] = subprocess.Popen(
                [*ENDS_WITH_US, *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _end_daemons(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError, AssertionError):
            output_of("scancel", "--user", "root")
            wait_until(lambda: not output_of("squeue", "-h"), "all jobs have ended", seconds=20)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _start_munge(self, stack: contextlib.ExitStack) -> None:
        """Where no munged runs, one of ours."""
        if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
            return
        if not Path("/etc/munge/munge.key").exists():
            output_of("mungekey", "--create")
            shutil.chown("/etc/munge/munge.key", "munge", "munge")
        for folder in ("/run/munge", "/var/lib/munge", "/var/log/munge"):
            Path(folder).mkdir(mode=0o755, exist_ok=True)
            shutil.chown(folder, "munge", "munge")
        with open(self.folder / "munged.out", "ab") as log:
            command = [*ENDS_WITH_US, "munged", "--foreground"]
            daemon = subprocess.Popen(command, user="munge", group="munge", extra_groups=[], stdout=log, stderr=log)
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)
        answers = lambda: subprocess.run(["munge", "-n"], capture_output=True).returncode == 0  # noqa: E731
        wait_until(answers, "munged answers")

    def _write_files(self) -> None:
        host = os.uname().nodename
        lines = []
        for index, (node, devices) in enumerate(self.nodes.items()):
            lines.append(
                f"NodeName={node} NodeHostName={host} NodeAddr=127.0.0.1 Port={16831 + index} CPUs={self.cpus}"
                f" RealMemory={self.memory}" + (f" Gres=gpu:{devices}" if devices else "")
            )
            lines.append(f"PartitionName={node} Nodes={node} MaxTime=INFINITE")
        FOLDER.mkdir(exist_ok=True)
        configuration = CONFIGURATION.format(host=host, folder=self.folder, nodes="\n".join(lines))
        (FOLDER / "slurm.conf").write_text(OURS + configuration)
        gres = [
            f"NodeName={node} Name=gpu File={file}"
            for node, devices in self.nodes.items()
            for file in DEVICE_FILES[:devices]
        ]
        (FOLDER / "gres.conf").write_text(OURS + "\n".join(gres) + "\n")
        (FOLDER / "cgroup.conf").write_text(OURS + "CgroupAutomount=no\n")

    @staticmethod
    def _remove_files() -> None:
        for name in FILES:
            (FOLDER / name).unlink(missing_ok=True)


CONFIGURATION = """\
ClusterName=goodsubnet
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that was requeued may begin only when its first credential has expired: 120 s by default.
AuthInfo=cred_expire=5
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
# More processors than this machine has, so that jobs overlap.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
# What a job takes is looked at every second, and one that takes more than it asked for is ended.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=30
# A node that says nothing for so long is down, and its jobs are requeued.
SlurmdTimeout=5
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2
{nodes}
"""
