# Target rules beside `all`. Stage by stage, for those who want to stop half-way: snakemake pretrain_all


rule prepare_all:
    input:
        of_targets("prepare"),


rule subset_all:
    input:
        of_targets("subset"),


rule pretrain_all:
    input:
        of_targets("pretrain", ".dense.json"),


rule prune_all:
    input:
        of_targets("prune"),


rule evaluate_all:
    input:
        of_targets("evaluate"),


# And a rule for each experiment of the configuration, in `targets` or not: snakemake figure1_plain
for name in CONFIGURATION.experiments:

    rule:
        name:
            name
        input:
            by_name(name),


rule random_matrices:
    input:
        CHAIN.products("random_matrices"),


rule pruning_times:
    input:
        CHAIN.products("pruning_times"),
