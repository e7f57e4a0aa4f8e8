# One rule for each stage, in the order of the data. workflow/stages/ says what a stage is made from and makes, what its
# result depends on and what its jobs take; what it computes begins with its script in scripts/.
for stage in CHAIN.stages.values():

    rule:
        name:
            stage.name
        input:
            **inputs_of(stage),
        output:
            **outputs_of(stage),
        log:
            log_of(stage.path),
        wildcard_constraints:
            **stage.constraints(),
        localrule: stage.local
        conda:
            "../../envs/environment.yaml"
        threads: threads_of(stage)
        resources:
            **resources_of(stage),
        params:
            settings=settings_of(stage),
        shell:
            command_of(resources.stage)
