"""How long must a network be trained before it can be pruned well?"""
