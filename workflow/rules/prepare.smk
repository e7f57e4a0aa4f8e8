rule prepare:
    output:
        data=f"{CHAIN.data}.safetensors",
        provenance=f"{CHAIN.data}.provenance.json",
    log:
        f"{CHAIN.logs}/data/{{dataset}}.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("prepare", "dataset"),
    shell:
        script("prepare.py") + DATA_DIR + " --dataset {wildcards.dataset:q}"
        " --settings {params.settings:q} --output {output.data:q} > {log:q} 2>&1"
