# One rule for each figure. What it is drawn from, how, and its caption are in src/goodsubnet/plots/figures/.
for figure in CHAIN.figures.values():

    rule:
        name:
            f"draw_{figure.name}"
        input:
            tables=tables_of(figure),
        output:
            png=report(
                FIGURE.format(figure.name, "png"),
                caption=figure.shown.caption,
                category="{experiment}",
                labels={"what": figure.shown.what, "form": figure.form},
            ),
            pdf=FIGURE.format(figure.name, "pdf"),
            provenance=FIGURE.format(figure.name, "provenance.json"),
        log:
            log_of(f"{{experiment}}/figures/{figure.name}"),
        localrule: True
        conda:
            "../../envs/environment.yaml"
        resources:
            figure=figure.name,
        params:
            settings=settings_of_figure(figure),
        shell:
            script("figure.py") + " --figure {resources.figure} --tables {input.tables:q}"
            " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
