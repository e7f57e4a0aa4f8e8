rule answers:
    input:
        table=f"{CHAIN.collect}.csv",
    output:
        table=report(
            f"{CHAIN.answers}.csv",
            caption="../report/answers.rst",
            category="{experiment}",
            labels={"what": "Enough pre-training", "form": "table"},
        ),
        sentence=f"{CHAIN.answers}.txt",
        provenance=f"{CHAIN.answers}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/answers.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("answers", "experiment"),
    shell:
        script("answers.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"


rule draw_answers:
    input:
        table=f"{CHAIN.answers}.csv",
    output:
        png=report(
            f"{CHAIN.figures}/answers.png",
            caption="../report/answers_figure.rst",
            category="{experiment}",
            labels={"what": "Enough pre-training, and what stopping there costs", "form": "marks"},
        ),
        pdf=f"{CHAIN.figures}/answers.pdf",
        provenance=f"{CHAIN.figures}/answers.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/answers_figure.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("answers_figure", "experiment"),
    shell:
        script("answers_figure.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
