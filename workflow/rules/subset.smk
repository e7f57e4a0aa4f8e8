rule subset:
    input:
        data=dataset_of,
    output:
        subset=f"{CHAIN.subset}.safetensors",
        provenance=f"{CHAIN.subset}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/subset/examples-{{examples}}-seed-{{seed}}.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("subset", "experiment"),
    shell:
        script("subset.py") + " --data {input.data:q} --examples {wildcards.examples} --seed {wildcards.seed}"
        " --settings {params.settings:q} --output {output.subset:q} > {log:q} 2>&1"
