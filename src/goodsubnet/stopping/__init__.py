"""When to stop pre-training, as if online: what is seen of a checkpoint, the rules that judge it, and their scores.

observation         what a rule may know of one checkpoint
two_layer, deep     how that is measured, for each kind of network
rules               one file per rule
judging             a rule over the checkpoints so far
scores              what each rule saved and what it cost, over finished runs
watching            a folder of checkpoints that are still being written
callback            the same inside a training loop
"""
