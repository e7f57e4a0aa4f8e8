rule compare_methods:
    input:
        plan=lambda wildcards: CHAIN.plan_path(wildcards.experiment, "methods"),
        subnetworks=of_experiment(CHAIN.subnetworks),
    output:
        table=f"{CHAIN.methods}.csv",
        provenance=f"{CHAIN.methods}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/methods.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("methods"),
    shell:
        script("methods.py") + " --plan {input.plan:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"


rule draw_methods:
    input:
        table=f"{CHAIN.methods}.csv",
    output:
        png=report(
            f"{CHAIN.figures}/methods.png",
            caption="../report/methods.rst",
            category="{experiment}",
            labels={"what": "All pruning methods at equal size", "form": "curves"},
        ),
        pdf=f"{CHAIN.figures}/methods.pdf",
        provenance=f"{CHAIN.figures}/methods.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/methods_figure.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("methods_figure", "experiment"),
    shell:
        script("methods_figure.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
