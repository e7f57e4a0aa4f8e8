rule stopping:
    input:
        plan=lambda wildcards: CHAIN.plan_path(wildcards.experiment, "stopping"),
        observations=of_experiment(CHAIN.observations),
        table=f"{CHAIN.collect}.csv",
    output:
        table=report(
            f"{CHAIN.stopping}.csv",
            caption="../report/stopping.rst",
            category="{experiment}",
            labels={"what": "When to stop: each rule on each training", "form": "table"},
        ),
        scores=report(
            f"{CHAIN.stopping}.scores.csv",
            caption="../report/stopping_scores.rst",
            category="{experiment}",
            labels={"what": "When to stop: the rules compared", "form": "table"},
        ),
        provenance=f"{CHAIN.stopping}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/stopping.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("stopping", "experiment"),
    shell:
        script("stopping.py") + " --plan {input.plan:q} --table {input.table:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"


rule draw_stopping:
    input:
        table=f"{CHAIN.stopping}.scores.csv",
    output:
        png=report(
            f"{CHAIN.figures}/stopping.png",
            caption="../report/stopping_figure.rst",
            category="{experiment}",
            labels={"what": "When to stop: saved against lost", "form": "map"},
        ),
        pdf=f"{CHAIN.figures}/stopping.pdf",
        provenance=f"{CHAIN.figures}/stopping.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/stopping_figure.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("stopping_figure", "experiment"),
    shell:
        script("stopping_figure.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
