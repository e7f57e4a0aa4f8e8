rule observe:
    input:
        data=dataset_of,
        subset=f"{CHAIN.subset}.safetensors",
        checkpoint=f"{CHAIN.pretrain}.safetensors",
        first=CHAIN.first_checkpoint,
    output:
        observation=f"{CHAIN.observe}.json",
        provenance=f"{CHAIN.observe}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/observe/{CHAIN.cell}.log",
    conda:
        "../../envs/environment.yaml"
    threads: CONFIGURATION.threads.prune
    resources:
        **needs("observe"),
        gpu=evaluation_gpu,
    params:
        settings=stage_settings("observe", "experiment", "network"),
    shell:
        script("observe.py") + MACHINE + " --data {input.data:q} --subset {input.subset:q}"
        " --checkpoint {input.checkpoint:q} --first={input.first:q}"
        " --seed {wildcards.seed} --iteration {wildcards.iteration}"
        " --settings {params.settings:q} --output {output.observation:q} > {log:q} 2>&1"
