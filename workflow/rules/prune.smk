rule prune:
    input:
        data=dataset_of,
        subset=f"{CHAIN.subset}.safetensors",
        checkpoint=f"{CHAIN.pretrain}.safetensors",
        tolerance=CHAIN.tolerance_for,
        widths=CHAIN.widths_for,
    output:
        subnetwork=f"{CHAIN.prune}.safetensors",
        provenance=f"{CHAIN.prune}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/prune/{{method}}/{CHAIN.cell}.log",
    conda:
        "../../envs/environment.yaml"
    threads: lambda wildcards: CONFIGURATION.threads.prune * workers_of(wildcards)
    resources:
        **SELECTING,
        **needs("prune"),
    params:
        settings=stage_settings("prune", "experiment", "network", "method"),
    shell:
        script("prune.py") + MACHINE + WORKERS + " --data {input.data:q} --subset {input.subset:q}"
        " --checkpoint {input.checkpoint:q} --tolerance={input.tolerance:q} --widths={input.widths:q}"
        " --seed {wildcards.seed}"
        " --settings {params.settings:q} --output {output.subnetwork:q} > {log:q} 2>&1"
