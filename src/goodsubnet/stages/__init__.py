"""What the stages of the chain compute: a folder for each kind of network, in it a module for each stage.

`contract` says what a stage's function is given and gives back; `choose` finds it; `together` runs it on workers.
"""
