"""What the stages of the chain compute: one folder for each kind of network, with one module for each stage.

`contract` says what a stage's function is given and gives back; `choose` finds it; `together` runs it on workers.
"""
