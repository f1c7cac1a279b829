"""Real nodes on one machine, in one outer namespace that takes everything with it when it ends.

`cli` is what is typed, `place` the state directory, `launch` makes and ends a lab, `enter` runs a command in it.
`room` is the lab's one process, pid 1 of the outer namespace; `node` and `boot` make a node, `button` powers it on.
"""
