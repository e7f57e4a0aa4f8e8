"""How long must a network be trained before it can be pruned well?

The chain: prepare -> subset -> pretrain (a job a checkpoint) -> prune -> [finetune] -> evaluate -> collect -> figures,
tables -> report. The tolerance of pruning deep networks: pretrain (the last checkpoint) -> calibrate -> prune.
In place of pretrain, for checkpoints that were trained elsewhere: adopt.
Beside it, for greedy selection: prune -> terms -> bounds -> thresholds -> figures. When to stop: pretrain -> observe ->
stopping -> figure. And the random matrices of Figures 2, 3, and the pruning times of Figure 4. Over all of it:
claims -> verdict.
"""


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/subset.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/adopt.smk"
include: "workflow/rules/calibrate.smk"
include: "workflow/rules/prune.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/answers.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/observe.smk"
include: "workflow/rules/stopping.smk"
include: "workflow/rules/methods.smk"
include: "workflow/rules/random_matrices.smk"
include: "workflow/rules/pruning_times.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/verdict.smk"
include: "workflow/rules/targets.smk"


# Everything that `targets` names in the configuration.
rule all:
    default_target: True
    input:
        [path for target in CONFIGURATION.targets for path in CHAIN.products(target)],
        CHAIN.verdicts(),
