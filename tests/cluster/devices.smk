# Jobs that hold an accelerator, for the test that two never hold the same.
rule all:
    input:
        expand("held-{number}.json", number=range(5)),


rule hold:
    output:
        "held-{number}.json",
    resources:
        gpu=1,
        mem_mb=300,
        runtime=5,
    shell:
        "exec python {workflow.basedir}/hold.py {output}"
