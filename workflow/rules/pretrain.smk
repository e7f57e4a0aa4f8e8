rule pretrain:
    input:
        data=dataset_of,
        subset=f"{CHAIN.subset}.safetensors",
        previous=CHAIN.previous_checkpoint,
    output:
        checkpoint=kept(f"{CHAIN.pretrain}.safetensors"),
        dense=f"{CHAIN.pretrain}.dense.json",
        provenance=f"{CHAIN.pretrain}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/pretrain/{CHAIN.cell}.log",
    wildcard_constraints:
        network=CHAIN.trained_here,
    conda:
        "../../envs/environment.yaml"
    threads: lambda wildcards: CONFIGURATION.threads.pretrain * processes_of(wildcards)
    resources:
        **needs("pretrain"),
        gpu=lambda wildcards: GPU * processes_of(wildcards),
    params:
        settings=stage_settings("pretrain", "experiment", "network"),
    shell:
        script("pretrain.py") + MACHINE + SAVE_EVERY + KEPT + " --data {input.data:q} --subset {input.subset:q}"
        " --previous={input.previous:q} --seed {wildcards.seed} --iteration {wildcards.iteration}"
        " --settings {params.settings:q} --output {output.checkpoint:q} > {log:q} 2>&1"
