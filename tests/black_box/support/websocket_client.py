"""A WebSocket client that says on standard output what it saw. python websocket_client.py URL WHAT"""

import asyncio
import os
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


async def echo(url):
    for compression in (None, "deflate"):
        async with connect(url + "/echo", max_size=None, compression=compression) as socket:
            whole = "\u00fc\u4e2d\U0001f600"
            messages = ["hi", whole, whole * 50_000, "", b"", b"\x00\xff", "x" * 3_000_000, os.urandom(1_000_000)]
            for message in messages:
                await socket.send(message)
                assert await socket.recv() == message, "%r came back otherwise" % message[:20]
            for number in range(3000):
                await socket.send("message %d" % number)
            for number in range(3000):
                assert await socket.recv() == "message %d" % number
            await asyncio.wait_for(await socket.ping(), 10)
            await socket.send(["in ", "frag", "ments"])
            assert await socket.recv() == "in fragments"
    print("echoed")


async def subprotocol(url):
    async with connect(url + "/echo", subprotocols=["chat", "other"]) as socket:
        print(socket.subprotocol, socket.response.headers["x-own"])


async def status(url):
    for path in ("/deny", "/deny-with", "/raise-early", "/return-early"):
        try:
            async with connect(url + path):
                print(path, "accepted")
        except InvalidStatus as error:
            print(path, error.response.status_code, bytes(error.response.body).decode().strip())


async def closes(url):
    for path in ("/close", "/raise", "/return"):
        async with connect(url + path) as socket:
            try:
                await socket.recv()
            except ConnectionClosed as error:
                print(path, error.rcvd.code, error.rcvd.reason)


async def slow_reader(url):
    async with connect(url + "/flood", max_size=None, max_queue=1) as socket:
        await asyncio.sleep(0.5)
        print(sum([len(message) async for message in socket]))


async def goodbyes(url):
    async with connect(url + "/echo") as socket:
        await socket.close(4002, "enough")
    socket = await connect(url + "/echo")
    socket.transport.abort()


async def stay(url):
    """Says that it is there, then how it was sent away, then whether it may come again."""
    async with connect(url + "/echo") as socket:
        print("there", flush=True)
        try:
            await socket.recv()
        except ConnectionClosed as error:
            print(error.rcvd.code, flush=True)
    async with connect(url + "/echo") as socket:
        await socket.send("again")
        print(await socket.recv(), flush=True)


async def too_long(url):
    async with connect(url + "/echo", compression=sys.argv[3] if len(sys.argv) > 3 else None) as socket:
        await socket.send("x" * 4096)
        assert len(await socket.recv()) == 4096
        try:
            await socket.send("x" * 4097)
            await socket.recv()
        except ConnectionClosed as error:
            print(error.rcvd.code)


async def shout(url):
    async with connect(url + "/shout", origin=own_page(url)) as socket:
        await socket.send("hello")
        print(await socket.recv())
        await socket.send("enough")
        try:
            print(await socket.recv())
        except ConnectionClosed as error:
            print(error.rcvd.code, error.rcvd.reason)


async def chat(url):
    """Two in a room, one in another, and one from a page of somebody else."""
    page = own_page(url)
    async with connect(url + "/rooms/one", origin=page) as first, connect(url + "/rooms/two", origin=page) as other:
        async with connect(url + "/rooms/one", origin=page) as second:
            await second.send('{"text": "hello"}')
            print(await first.recv(), await second.recv())
        print(await first.recv())
        await other.send('{"text": "alone"}')
        print(await other.recv())
    try:
        async with connect(url + "/rooms/one", origin="http://elsewhere.example"):
            print("accepted")
    except InvalidStatus as error:
        print(error.response.status_code)


def own_page(url):
    """Where a page would come from that talks to that server."""
    return url.replace("ws:", "http:")


asyncio.run(globals()[sys.argv[2]](sys.argv[1]))
