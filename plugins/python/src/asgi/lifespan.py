"""The lifespan protocol of ASGI, the server's side: one application's life in one process."""

import asyncio


class Failed(Exception):
    """The application says that it cannot start."""


class Unsupported(Exception):
    """The application raised, or returned, before it said how its start went."""


class Lifespan:
    # Seconds after which it is told for what the application makes everyone wait.
    patience = 5

    def __init__(self, application, is_double, state, tell):
        """`tell`: called with what the application does, and with its task."""
        self.tell = tell
        self.application = application
        self.is_double = is_double
        self.state = state
        self.inbox = asyncio.Queue()
        self.started = None
        self.stopped = None
        self.task = None
        self.has_listened = False

    async def receive(self):
        self.has_listened = True
        return await self.inbox.get()

    async def send(self, event):
        kind = event["type"]
        if kind == "lifespan.startup.complete" and not self.started.done():
            self.started.set_result(None)
        elif kind == "lifespan.startup.failed" and not self.started.done():
            self.started.set_exception(Failed(event.get("message", "")))
        elif kind == "lifespan.shutdown.complete" and self.stopped is not None:
            if not self.stopped.done():
                self.stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed" and self.stopped is not None:
            if not self.stopped.done():
                self.stopped.set_exception(Failed(event.get("message", "")))
        else:
            raise RuntimeError('send: "%s" is no event that can be sent here' % kind)

    async def run(self):
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        if self.is_double:
            await self.application(scope)(self.receive, self.send)
        else:
            await self.application(scope, self.receive, self.send)

    async def start(self):
        """Returns when the application has started; raises Failed, or Unsupported from what it raised."""
        loop = asyncio.get_running_loop()
        self.started = loop.create_future()
        self.inbox.put_nowait({"type": "lifespan.startup"})
        self.task = loop.create_task(self.run(), name="lifespan")
        await self.wait_for(self.started, "starting")
        if self.started.done():
            return self.started.result()
        error = self.task.exception()
        raise Unsupported(self.has_listened) from error

    async def wait_for(self, future, doing):
        """Returns when that is done, or the application is."""
        either = {"return_when": asyncio.FIRST_COMPLETED}
        done, _ = await asyncio.wait([self.task, future], timeout=self.patience, **either)
        if not done:
            self.tell("%s for %d s" % (doing, self.patience), self.task)
            await asyncio.wait([self.task, future], **either)

    async def stop(self):
        """Returns when the application has ended its life; raises what it raised."""
        if self.task.done():
            return self.task.result()
        self.stopped = asyncio.get_running_loop().create_future()
        self.inbox.put_nowait({"type": "lifespan.shutdown"})
        await self.wait_for(self.stopped, "shutting down")
        if self.stopped.done():
            self.stopped.result()
        await asyncio.wait([self.task], timeout=1)
        if self.task.done():
            return self.task.result()
