rule accuracy_table:
    input:
        table=f"{CHAIN.collect}.csv",
    output:
        csv=report(
            f"{CHAIN.accuracy_table}.csv",
            caption="../report/accuracy_table.rst",
            category="{experiment}",
            labels={"what": "Accuracy of the subnetworks, as in Tables 1 and 2", "form": "table"},
        ),
        markdown=f"{CHAIN.accuracy_table}.md",
        latex=f"{CHAIN.accuracy_table}.tex",
        provenance=f"{CHAIN.accuracy_table}.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/accuracy_table.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("accuracy_table", "experiment"),
    shell:
        script("accuracy_table.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.csv:q} > {log:q} 2>&1"


rule draw_accuracy:
    input:
        table=f"{CHAIN.accuracy_table}.csv",
    output:
        png=report(
            f"{CHAIN.figures}/accuracy.png",
            caption="../report/accuracy_table_figure.rst",
            category="{experiment}",
            labels={"what": "Accuracy of the subnetworks", "form": "curves"},
        ),
        pdf=f"{CHAIN.figures}/accuracy.pdf",
        provenance=f"{CHAIN.figures}/accuracy.provenance.json",
    log:
        f"{CHAIN.logs}/{{experiment}}/accuracy.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("accuracy_table_figure", "experiment"),
    shell:
        script("accuracy_table_figure.py") + " --table {input.table:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
