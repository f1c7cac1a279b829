"""Real nodes on one machine, in one outer namespace that takes everything with it when it ends.

On the host: `cli` reads the command line, `state_dir` finds the state directory, `requirements` checks the machine,
`launch` makes and ends a lab, `client` sends a request to it, `enter` runs a command in it.
In the outer namespace: `namespace` sets it up with `files`, `lan`, `kvm` and `syscalls`; `server` is the lab's one
process, pid 1 of the namespace. It boots a `node` (`boot`) on `magic_packets`, waits for its `readiness`, and makes
`faults`.
"""
