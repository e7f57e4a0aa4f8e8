"""Infrastructure: what every job needs around its science. No result depends on it, so no fingerprint includes it.

    artifacts      every byte written to or read from disk, with its sidecar
    jobs           the making of one artifact: inputs verified, a lock, outputs, provenance
    machine        what a job may use: a device, threads, workers
    signals        SIGTERM and Ctrl-C, put off until progress has been saved
    progress       lines of progress, and when to save
    commands       a script as a command: its arguments, its errors in one line
    devices        accelerators, leased one per job
    code           source files as syntax trees
    fingerprint    what code a result depends on
    plugins        methods, rules, sources and architectures, found automatically
    audit          which artifacts are not those of today's configuration and code
    verification   where a figure or table comes from
    group          the workers of a selection, and what they exchange
    workers        several processes that compute one stage together

When the content or the meaning of artifacts changes, `artifacts.FORMAT` is raised by hand.
"""
