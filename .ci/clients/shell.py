"""Types commands into the qmp-shell of Python's qemu.qmp."""

import subprocess
import sys

COMMANDS = """query-name
stop
query-status
set_link name=net0 up=false
quit
"""

shell = subprocess.run(
    sys.argv[1:], input=COMMANDS, capture_output=True, text=True, timeout=50, check=False
)
for expected in ["simulated", "paused"]:
    assert expected in shell.stdout, f"no {expected}: {shell.stdout}{shell.stderr}"
