"""Drives a machine with Python's qemu.qmp."""

import asyncio
import sys

from qemu.qmp import ExecuteError, QMPClient


async def main(address):
    client = QMPClient("peer")
    await client.connect(address)
    status = await client.execute("query-status")
    assert status["running"], status
    with client.listener("STOP") as listener:
        await client.execute("stop")
        event = await asyncio.wait_for(listener.get(), 10)
        assert event["event"] == "STOP", event
    await client.execute("cont")
    try:
        await client.execute("device_add", {"driver": "nope"})
        raise AssertionError("a device that does not exist was plugged in")
    except ExecuteError as error:
        assert "not a valid device model name" in str(error), error
    replies = await asyncio.gather(*(client.execute("query-block") for _ in range(20)))
    assert all(replies), replies
    assert len(await client.execute("query-qmp-schema")) > 100
    await client.execute("quit")
    try:
        await client.disconnect()
    except EOFError:
        # The machine has ended, as QEMU does.
        pass


asyncio.run(main(sys.argv[1]))
