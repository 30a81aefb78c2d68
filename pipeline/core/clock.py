"""A clock for spans of time, which goes on while the machine sleeps."""

import time


def now_s() -> float:
    """Return seconds since a moment in the past that is fixed while the machine is up.

    Python's monotonic clock stands still on Linux while a laptop sleeps or a virtual machine is suspended: whoever
    asks it how old a lease is would be told too little.

    >>> now_s() <= now_s()
    True
    """
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)
