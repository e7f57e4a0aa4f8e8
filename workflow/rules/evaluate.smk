rule evaluate:
    input:
        data=dataset_of,
        subset=f"{CHAIN.subset}.safetensors",
        subnetwork=f"{CHAIN.prune}.safetensors",
        finetuned=CHAIN.finetuned,
    output:
        measurements=f"{CHAIN.evaluate}.json",
        provenance=f"{CHAIN.evaluate}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/evaluate/{{method}}/{CHAIN.cell}.log",
    conda:
        "../../envs/environment.yaml"
    threads: evaluation_threads
    resources:
        **needs("evaluate"),
        gpu=evaluation_gpu,
    params:
        settings=stage_settings("evaluate", "experiment", "network"),
    shell:
        script("evaluate.py") + MACHINE + " --data {input.data:q} --subset {input.subset:q}"
        " --subnetwork {input.subnetwork:q} --finetuned={input.finetuned:q}"
        " --settings {params.settings:q} --output {output.measurements:q} > {log:q} 2>&1"
