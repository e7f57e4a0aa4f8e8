# In place of pretrain, for a network whose checkpoints were trained elsewhere.
rule adopt:
    input:
        data=dataset_of,
        subset=f"{CHAIN.subset}.safetensors",
        foreign=CHAIN.foreign_checkpoint,
    output:
        checkpoint=kept(f"{CHAIN.pretrain}.safetensors"),
        dense=f"{CHAIN.pretrain}.dense.json",
        provenance=f"{CHAIN.pretrain}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/pretrain/{CHAIN.cell}.log",
    wildcard_constraints:
        network=CHAIN.trained_elsewhere,
    conda:
        "../../envs/environment.yaml"
    threads: CONFIGURATION.threads.pretrain
    resources:
        **needs("adopt"),
        gpu=evaluation_gpu,
    params:
        settings=stage_settings("adopt", "experiment", "network"),
    shell:
        script("adopt.py")
        + MACHINE
        + KEPT
        + " --data {input.data:q} --subset {input.subset:q} --foreign {input.foreign:q}"
        " --iteration {wildcards.iteration} --settings {params.settings:q} --output {output.checkpoint:q} > {log:q} 2>&1"
