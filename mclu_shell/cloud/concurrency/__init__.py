"""The same call on many items at once, with deadlines and cancellation.

`Deadline` interrupts a call that has a function to end it, such as a libvirt call over a socket that can be shut down.
`CancelScope` limits the waits of several threads, can be cancelled, and abandons a call that nothing can end.
"""
