# Figure 4: a job for the layers, one for the neurons, and one that draws.


rule measure_pruning:
    output:
        times=f"{CHAIN.measured_times}.json",
        provenance=f"{CHAIN.measured_times}.provenance.json",
    log:
        f"{CHAIN.logs}/pruning_times/{{part}}.log",
    conda:
        "../../envs/environment.yaml"
    # On one machine all cores that Snakemake has: what runs beside would be measured, too.
    threads: MOST_WORKERS * CONFIGURATION.pruning_times.threads if ELSEWHERE else 1_000_000
    resources:
        **needs("measure_pruning"),
        gpu=GPU * MOST_WORKERS,
    params:
        settings=stage_settings("pruning_times", "part"),
    shell:
        script("pruning_times.py") + MACHINE + f" --workers {MOST_WORKERS}"
        " --part {wildcards.part} --settings {params.settings:q} --output {output.times:q} > {log:q} 2>&1"


rule draw_figure4:
    input:
        CHAIN.times_of_all_parts(),
    output:
        png=report(
            f"{CHAIN.pruning_times}/figures/figure4.png",
            caption="../report/figure4.rst",
            category="pruning_times",
            labels={"what": "Figure 4: pruning time with several workers", "form": "bars"},
        ),
        pdf=f"{CHAIN.pruning_times}/figures/figure4.pdf",
        table=report(
            f"{CHAIN.pruning_times}/figures/figure4.csv",
            caption="../report/pruning_times.rst",
            category="pruning_times",
            labels={"what": "Figure 4: every measurement", "form": "table"},
        ),
        provenance=f"{CHAIN.pruning_times}/figures/figure4.provenance.json",
    log:
        f"{CHAIN.logs}/pruning_times/figure4.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("figure4"),
    shell:
        script("figure4.py") + " --times {input:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
