"""Forks trainers, and kills each at a random moment: `python -m tests.faults.storm JSON`.

Keras is loaded once, so that hundreds of kills take seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

from tests.faults.trainer import Task, shipping_process, train


def main() -> None:
    """Train and kill, as the argument says: tasks, seed, and whether shippers are killed too."""
    import keras  # noqa: F401 - once for all children

    from tracker import TrackerCallback  # noqa: F401

    order = json.loads(sys.argv[1])
    chance = random.Random(order["seed"])
    for fields in order["tasks"]:
        task = Task(**fields)
        child = os.fork()
        if child == 0:
            train(task)
            os._exit(0)
        task.wait_for(chance.randrange(3, 200))
        time.sleep(chance.random() * 0.3)
        shipper = shipping_process(child) if order["shippers"] else None
        if shipper:
            # Both at once, as by a machine that stops: neither must see the other die.
            os.kill(child, signal.SIGSTOP)
            shipper.kill()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
