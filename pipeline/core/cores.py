"""The number of CPU cores that this process may use."""


def usable_cores() -> int:
    """Return the number of cores this process may use: its affinity and its cgroup's quota, whichever is less.

    A container may use fewer cores than its machine has; os.cpu_count does not know.
    """
    from loky import cpu_count  # imported here: with multiprocessing it costs every command's start

    return cpu_count()
