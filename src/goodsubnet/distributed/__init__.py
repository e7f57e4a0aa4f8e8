"""Algorithm 2's workers: several processes that select together, on one machine or on several.

    workers   what a worker is told (its rank, its share) and how it talks to the others
    launch    the job's side: starts the workers by torchrun, waits, and names the one that failed
    agent     torchrun itself, a process on each machine
    worker    the process that torchrun starts

Nothing here imports torch before a worker joins the others.
"""
