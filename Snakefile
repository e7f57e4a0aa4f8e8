"""How long must a network be trained before it can be pruned well?

The chain: prepare -> subset -> pretrain (one job per checkpoint) -> prune -> [finetune] -> evaluate -> collect ->
figures, tables -> report. The tolerance of pruning deep networks: pretrain (the last checkpoint) -> calibrate -> prune.
In place of pretrain, for checkpoints that were trained elsewhere: adopt.
Beside it, for greedy selection: prune -> terms -> bounds -> thresholds -> figures. When to stop: pretrain -> observe ->
stopping -> figure. And the random matrices of Figures 2 and 3, and the pruning times of Figure 4. Over all of it:
claims -> verdict. Each stage has its home in workflow/stages/.
"""


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/stages.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/targets.smk"


# Everything that `targets` names in the configuration.
rule all:
    default_target: not IMPORTED
    input:
        [path for target in CONFIGURATION.targets for path in CHAIN.products(target)],
        CHAIN.verdicts(),
