"""A path to a server on this machine that takes its time: what goes by it arrives whole and in order, `delay` seconds later each way.

How much is under way is not limited, so it is long, and not narrow.
"""
import asyncio
import threading

CHUNK_BYTES = 1 << 16


class SlowPath:
    """`port` is where it is entered; `with` starts and ends it. `delay` may be changed while it runs, by any thread."""

    def __init__(self, delay=0.0):
        self.delay, self.port, self._to = delay, None, None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._pumps = set()

    def lead_to(self, port):
        self._to = port

    def __enter__(self):
        self._thread.start()
        server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _end(self):
        pumps = [pump for pump in self._pumps if not pump.done()]
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _serve(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()  # as the server itself would refuse
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source, sink):
        under_way = asyncio.Queue()
        sender = asyncio.create_task(self._send(under_way, sink))
        try:
            while chunk := await source.read(CHUNK_BYTES):
                under_way.put_nowait((self._loop.time() + self.delay, chunk))
            under_way.put_nowait((self._loop.time() + self.delay, b""))
            await sender
        except OSError:
            pass  # a peer that breaks off; both ends see it below
        finally:
            sender.cancel()
            sink.close()

    async def _send(self, under_way, sink):
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(due - self._loop.time())
            if not chunk:
                return
            sink.write(chunk)
            await sink.drain()
