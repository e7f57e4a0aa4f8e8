rule plan:
    output:
        plan=f"{CHAIN.plan}.json",
        provenance=f"{CHAIN.plan}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/plan-{{table}}-{{digest}}.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("plan", "experiment", "table"),
    shell:
        script("plan.py") + " --settings {params.settings:q} --output {output.plan:q} > {log:q} 2>&1"


rule collect:
    input:
        plan=lambda wildcards: CHAIN.plan_path(wildcards.experiment, "evaluations"),
        evaluations=of_experiment(CHAIN.evaluations),
        dense=of_experiment(CHAIN.dense_measurements),
    output:
        table=report(
            f"{CHAIN.collect}.csv",
            caption="../report/evaluations.rst",
            category="{experiment}",
            labels={"what": "All measurements", "form": "table"},
        ),
        provenance=f"{CHAIN.collect}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/collect.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("collect"),
    shell:
        script("collect.py") + " --plan {input.plan:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"
