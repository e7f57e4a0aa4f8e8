"""torchrun on one machine: starts its workers, ends them all where one fails, and notes which one that was."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from goodsubnet.runtime.workers.processes import end_with_parent


def main() -> None:
    """Arguments: the folder that the workers share, the module that each runs, and torchrun's options."""
    end_with_parent()
    # Slow to import.
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    folder, module, options = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    fixed = ["--rdzv-backend=c10d", "--max-restarts=0", "--monitor-interval=0.2"]
    worker = ["-m", module, str(folder)]
    try:
        run(get_args_parser().parse_args([*fixed, *options, *worker]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        ended = {"rank": rank, "host": socket.gethostname(), "exit_code": failure.exitcode}
        (folder / f"ended-{socket.gethostname()}-{os.getpid()}.json").write_text(json.dumps(ended))
        sys.exit(1)
    except SignalException as error:
        sys.exit(128 + signal.Signals(error.sigval).value)


if __name__ == "__main__":
    main()
