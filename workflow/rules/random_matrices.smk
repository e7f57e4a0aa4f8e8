# Figures 2 and 3: a job a number of examples, and one that draws.


rule smallest_singular_values:
    output:
        draws=f"{CHAIN.smallest_singular_values}.json",
        provenance=f"{CHAIN.smallest_singular_values}.provenance.json",
    log:
        f"{CHAIN.logs}/random_matrices/smallest_singular_values-{{examples}}.log",
    conda:
        "../../envs/environment.yaml"
    resources:
        **needs("smallest_singular_values"),
    params:
        settings=stage_settings("smallest_singular_values", "examples"),
    shell:
        script("smallest_singular_values.py") + " --examples {wildcards.examples}"
        " --settings {params.settings:q} --output {output.draws:q} > {log:q} 2>&1"


rule condition_numbers:
    output:
        draws=f"{CHAIN.condition_numbers}.json",
        provenance=f"{CHAIN.condition_numbers}.provenance.json",
    log:
        f"{CHAIN.logs}/random_matrices/condition_numbers-{{examples}}.log",
    conda:
        "../../envs/environment.yaml"
    resources:
        **needs("condition_numbers"),
    params:
        settings=stage_settings("condition_numbers"),
    shell:
        script("condition_numbers.py") + " --examples {wildcards.examples}"
        " --settings {params.settings:q} --output {output.draws:q} > {log:q} 2>&1"


rule draw_figure2:
    input:
        CHAIN.draws_of_singular_values(),
    output:
        png=report(
            f"{CHAIN.random_matrices}/figures/figure2.png",
            caption="../report/figure2.rst",
            category="random_matrices",
            labels={"what": "Figure 2: smallest singular value against width", "form": "curves"},
        ),
        pdf=f"{CHAIN.random_matrices}/figures/figure2.pdf",
        table=report(
            f"{CHAIN.random_matrices}/figures/figure2.csv",
            caption="../report/random_matrices.rst",
            category="random_matrices",
            labels={"what": "Figure 2: every point", "form": "table"},
        ),
        fits=report(
            f"{CHAIN.random_matrices}/figures/figure2.fits.csv",
            caption="../report/singular_value_fits.rst",
            category="random_matrices",
            labels={"what": "Figure 2: fitted curves and exponents", "form": "table"},
        ),
        provenance=f"{CHAIN.random_matrices}/figures/figure2.provenance.json",
    log:
        f"{CHAIN.logs}/random_matrices/figure2.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("figure2"),
    shell:
        script("figure2.py") + " --draws {input:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"


rule draw_figure3:
    input:
        CHAIN.draws_of_condition_numbers(),
    output:
        png=report(
            f"{CHAIN.random_matrices}/figures/figure3.png",
            caption="../report/figure3.rst",
            category="random_matrices",
            labels={"what": "Figure 3: condition number over the size", "form": "map"},
        ),
        pdf=f"{CHAIN.random_matrices}/figures/figure3.pdf",
        table=report(
            f"{CHAIN.random_matrices}/figures/figure3.csv",
            caption="../report/random_matrices.rst",
            category="random_matrices",
            labels={"what": "Figure 3: every point", "form": "table"},
        ),
        provenance=f"{CHAIN.random_matrices}/figures/figure3.provenance.json",
    log:
        f"{CHAIN.logs}/random_matrices/figure3.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        settings=stage_settings("figure3"),
    shell:
        script("figure3.py") + " --draws {input:q}"
        " --settings {params.settings:q} --output {output.png:q} > {log:q} 2>&1"
