rule finetune:
    input:
        data=dataset_of,
        subset=f"{CHAIN.subset}.safetensors",
        subnetwork=f"{CHAIN.prune}.safetensors",
    output:
        network=f"{CHAIN.finetune}.safetensors",
        provenance=f"{CHAIN.finetune}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/finetune/{{method}}/{CHAIN.cell}.log",
    conda:
        "../../envs/environment.yaml"
    threads: CONFIGURATION.threads.pretrain
    resources:
        **needs("finetune"),
        gpu=GPU,
    params:
        settings=stage_settings("finetune", "experiment"),
    shell:
        script("finetune.py") + MACHINE + SAVE_EVERY + " --data {input.data:q} --subset {input.subset:q}"
        " --subnetwork {input.subnetwork:q} --seed {wildcards.seed}"
        " --settings {params.settings:q} --output {output.network:q} > {log:q} 2>&1"
