rule claims:
    input:
        evaluations=of_targets(CHAIN.evaluations_table),
        terms=of_targets(CHAIN.terms_table),
        violations=of_targets(CHAIN.violations_table),
        singular_value_fits=if_target("random_matrices", f"{CHAIN.random_matrices}/figures/figure2.fits.csv"),
        condition_numbers=if_target("random_matrices", f"{CHAIN.random_matrices}/figures/figure3.csv"),
        pruning_times=if_target("pruning_times", f"{CHAIN.pruning_times}/figures/figure4.csv"),
    output:
        table=f"{CHAIN.claims}.csv",
        summary=f"{CHAIN.claims}.summary.csv",
        sentence=f"{CHAIN.claims}.txt",
        provenance=f"{CHAIN.claims}.provenance.json",
    log:
        f"{CHAIN.logs}/claims.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("claims"),
    shell:
        script("claims.py") + " --evaluations {input.evaluations:q} --terms {input.terms:q}"
        " --violations {input.violations:q} --singular-value-fits {input.singular_value_fits:q}"
        " --condition-numbers {input.condition_numbers:q} --pruning-times {input.pruning_times:q}"
        " --settings {params.settings:q} --output {output.table:q} > {log:q} 2>&1"


rule verdict:
    input:
        claims=f"{CHAIN.claims}.csv",
        summary=f"{CHAIN.claims}.summary.csv",
        answers=of_targets(CHAIN.answers_table),
        scores=of_targets(CHAIN.scores_table),
        figures=[path for path, _ in CHAIN.judged_figures()],
    output:
        page=f"{CHAIN.verdict}.html",
        provenance=f"{CHAIN.verdict}.provenance.json",
    log:
        f"{CHAIN.logs}/verdict.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("verdict"),
    shell:
        script("verdict.py") + " --claims {input.claims:q} --summary {input.summary:q} --answers {input.answers:q}"
        " --scores {input.scores:q} --figures {input.figures:q}"
        " --settings {params.settings:q} --output {output.page:q} > {log:q} 2>&1"
