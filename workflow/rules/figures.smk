rule required_pretraining:
    input:
        table=f"{CHAIN.collect}.csv",
        terms=of_experiment(CHAIN.terms_table),
    output:
        table=report(
            f"{CHAIN.required}.csv",
            caption="../report/required_pretraining.rst",
            category="{experiment}",
            labels={"what": "Required pre-training", "form": "table"},
        ),
        provenance=f"{CHAIN.required}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/required_pretraining.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("required_pretraining", "experiment"),
    shell:
        script("required_pretraining.py") + " --table {input.table:q} --terms={input.terms:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"


rule draw_figure1:
    input:
        table=f"{CHAIN.collect}.csv",
    output:
        png=report(
            f"{CHAIN.figures}/figure1.png",
            caption="../report/figure1.rst",
            category="{experiment}",
            labels={"what": "Figure 1: accuracy of the subnetworks", "form": "map"},
        ),
        pdf=f"{CHAIN.figures}/figure1.pdf",
        provenance=f"{CHAIN.figures}/figure1.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/figure1.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("figure1", "experiment"),
    shell:
        script("figure1.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"


rule draw_curves:
    input:
        table=f"{CHAIN.collect}.csv",
    output:
        png=report(
            f"{CHAIN.figures}/curves.png",
            caption="../report/curves.rst",
            category="{experiment}",
            labels={"what": "The same as curves, with the spread over seeds", "form": "curves"},
        ),
        pdf=f"{CHAIN.figures}/curves.pdf",
        provenance=f"{CHAIN.figures}/curves.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/curves.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("curves"),
    shell:
        script("curves.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
