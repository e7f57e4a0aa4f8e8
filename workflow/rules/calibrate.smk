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
    threads: CONFIGURATION.threads.prune
    resources:
        gpu=GPU,
    params:
        settings=stage_settings("calibrate", "experiment", "network", "method"),
    shell:
        script("calibrate.py") + MACHINE + " --data {input.data:q} --subset {input.subset:q}"
        " --checkpoint {input.checkpoint:q} --seed {wildcards.seed}"
        " --settings {params.settings:q} --output {output.tolerance:q} > {log:q} 2>&1"
