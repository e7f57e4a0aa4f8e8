rule calibrate:
    input:
        data=dataset_of,
        subset=f"{CHAIN.subset}.safetensors",
        checkpoint=CHAIN.last_checkpoint,
    output:
        tolerance=f"{CHAIN.calibrate}.json",
        provenance=f"{CHAIN.calibrate}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/calibrate/{{method}}/{{network}}/examples-{{examples}}-seed-{{seed}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: lambda wildcards: CONFIGURATION.threads.prune * workers_of(wildcards)
    resources:
        **SELECTING,
        **needs("calibrate"),
    params:
        settings=stage_settings("calibrate", "experiment", "network", "method"),
    shell:
        script("calibrate.py") + MACHINE + WORKERS + " --data {input.data:q} --subset {input.subset:q}"
        " --checkpoint {input.checkpoint:q} --seed {wildcards.seed}"
        " --settings {params.settings:q} --output {output.tolerance:q} > {log:q} 2>&1"
