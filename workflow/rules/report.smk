rule report:
    input:
        of_experiment(CHAIN.reported),
    output:
        report=f"{CHAIN.report}.html",
        provenance=f"{CHAIN.report}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/report.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("report"),
    shell:
        script("report.py") + SNAKEFILE + " --products {input:q}"
        " --settings {params.settings:q} --output {output.report:q} > {log:q} 2>&1"
