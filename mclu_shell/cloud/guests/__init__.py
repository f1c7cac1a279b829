"""Operations on existing guests: find, start, shut down, reboot, destroy, wait."""
