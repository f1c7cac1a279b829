#!/bin/sh
# The password of the agent, for SSH_ASKPASS.
echo password
