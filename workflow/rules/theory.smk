rule terms:
    input:
        data=dataset_of,
        subset=f"{CHAIN.subset}.safetensors",
        checkpoint=f"{CHAIN.pretrain}.safetensors",
        subnetwork=f"{CHAIN.prune}.safetensors",
    output:
        terms=f"{CHAIN.terms}.json",
        provenance=f"{CHAIN.terms}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/terms/{{method}}/{CHAIN.cell}.log",
    conda:
        "../../envs/environment.yaml"
    threads: CONFIGURATION.threads.prune
    resources:
        **needs("terms"),
    params:
        settings=stage_settings("terms", "experiment", "network"),
    shell:
        script("terms.py") + " --data {input.data:q} --subset {input.subset:q}"
        " --checkpoint {input.checkpoint:q} --subnetwork {input.subnetwork:q} --seed {wildcards.seed}"
        " --settings {params.settings:q} --output {output.terms:q} > {log:q} 2>&1"


rule bounds:
    input:
        plan=lambda wildcards: CHAIN.plan_path(wildcards.experiment, "bounds"),
        terms=of_experiment(CHAIN.measured_terms),
        dense=of_experiment(CHAIN.dense_measurements),
    output:
        table=f"{CHAIN.bounds}.csv",
        terms=report(
            f"{CHAIN.bounds}.terms.csv",
            caption="../report/terms.rst",
            category="{experiment}",
            labels={"what": "Theory: the terms of the bounds", "form": "table"},
        ),
        violations=report(
            f"{CHAIN.bounds}.violations.csv",
            caption="../report/violations.rst",
            category="{experiment}",
            labels={"what": "Theory: do the bounds hold, and how loose are they?", "form": "table"},
        ),
        provenance=f"{CHAIN.bounds}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/bounds.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("bounds", "experiment"),
    shell:
        script("bounds.py") + " --plan {input.plan:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"


rule thresholds:
    input:
        table=f"{CHAIN.collect}.csv",
        terms=f"{CHAIN.bounds}.terms.csv",
    output:
        table=report(
            f"{CHAIN.thresholds}.csv",
            caption="../report/thresholds.rst",
            category="{experiment}",
            labels={"what": "Theory: thresholds, measured and predicted", "form": "table"},
        ),
        laws=report(
            f"{CHAIN.thresholds}.laws.csv",
            caption="../report/threshold_laws.rst",
            category="{experiment}",
            labels={"what": "Theory: the law of the thresholds", "form": "table"},
        ),
        provenance=f"{CHAIN.thresholds}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/thresholds.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("thresholds"),
    shell:
        script("thresholds.py") + " --table {input.table:q} --terms {input.terms:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"


rule draw_bounds:
    input:
        table=f"{CHAIN.bounds}.csv",
    output:
        png=report(
            f"{CHAIN.figures}/bounds.png",
            caption="../report/bounds_figure.rst",
            category="{experiment}",
            labels={"what": "Theory: the bounds against the measured loss", "form": "curves"},
        ),
        pdf=f"{CHAIN.figures}/bounds.pdf",
        provenance=f"{CHAIN.figures}/bounds.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/bounds_figure.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("bounds_figure", "experiment"),
    shell:
        script("bounds_figure.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"


rule draw_terms:
    input:
        table=f"{CHAIN.bounds}.terms.csv",
    output:
        png=report(
            f"{CHAIN.figures}/terms.png",
            caption="../report/terms_figure.rst",
            category="{experiment}",
            labels={"what": "Theory: the terms along training", "form": "curves"},
        ),
        pdf=f"{CHAIN.figures}/terms.pdf",
        provenance=f"{CHAIN.figures}/terms.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/terms_figure.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("terms_figure", "experiment"),
    shell:
        script("terms_figure.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"


rule draw_thresholds:
    input:
        thresholds=f"{CHAIN.thresholds}.csv",
        laws=f"{CHAIN.thresholds}.laws.csv",
    output:
        png=report(
            f"{CHAIN.figures}/thresholds.png",
            caption="../report/thresholds_figure.rst",
            category="{experiment}",
            labels={"what": "Theory: the threshold against the examples", "form": "curves"},
        ),
        pdf=f"{CHAIN.figures}/thresholds.pdf",
        provenance=f"{CHAIN.figures}/thresholds.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/thresholds_figure.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("thresholds_figure"),
    shell:
        script("thresholds_figure.py") + " --thresholds {input.thresholds:q} --laws {input.laws:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
