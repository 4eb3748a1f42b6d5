"""HTTP and WebSocket clients that people use. python http_clients.py PORT WHAT; it says on standard output what it saw."""

import asyncio
import io
import sys

import aiohttp
import httpx

PORT = int(sys.argv[1])
URL = "http://127.0.0.1:%d" % PORT
LARGE = bytes(number % 251 for number in range(1_000_000))


def pieces():
    for start in range(0, len(LARGE), 100_000):
        yield LARGE[start : start + 100_000]


async def pieces_later():
    for piece in pieces():
        yield piece
        await asyncio.sleep(0)


def httpx_sync():
    with httpx.Client(base_url=URL, timeout=60) as client:
        ports = {client.get("/port").text for _ in range(20)}
        assert len(ports) == 1, "one connection serves all: %r" % ports
        assert client.get("/echo?a=b").json()["query"] == "a=b"
        answer = client.post("/echo", content=LARGE).json()
        assert (answer["length"], answer["framing"]) == (len(LARGE), "length")
        answer = client.post("/echo", content=pieces()).json()
        assert (answer["length"], answer["framing"]) == (len(LARGE), "chunked")
        answer = client.post("/echo", files={"file": ("f", io.BytesIO(LARGE))}, data={"name": "value"}).json()
        assert answer["length"] > len(LARGE)
        with client.stream("GET", "/stream") as response:
            assert b"".join(response.iter_bytes()) == LARGE
        with client.stream("GET", "/stream") as response:
            next(response.iter_raw())
        assert list(client.get("/lines").iter_lines()) == ["line %d" % number for number in range(100)]
        for status in (204, 301, 304, 404, 418, 500, 503):
            assert client.get("/status?%d" % status).status_code == status
        assert client.get("/fail").status_code == 500
        assert client.head("/stream").content == b""
        try:
            client.get("/broken")
            raise AssertionError("it looked whole")
        except httpx.RemoteProtocolError:
            pass
        assert client.get("/port").status_code == 200, "and life goes on"
    print("fine")


async def httpx_async():
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=URL, timeout=60, limits=limits) as client:
        for _ in range(2):
            answers = await asyncio.gather(*(client.get("/slow?%d" % number) for number in range(100)))
            assert [answer.text for answer in answers] == [str(number) for number in range(100)]
        assert (await client.get("/most")).text == "100", "all at the same time"
        answers = await asyncio.gather(*(client.post("/echo", content=pieces_later()) for _ in range(10)))
        assert {answer.json()["length"] for answer in answers} == {len(LARGE)}
        async with client.stream("GET", "/stream") as response:
            assert b"".join([piece async for piece in response.aiter_bytes()]) == LARGE
    print("fine")


async def aiohttp_client():
    async with aiohttp.ClientSession(URL) as session:
        ports = set()
        for _ in range(20):
            async with session.get("/port") as response:
                ports.add(await response.text())
        assert len(ports) == 1, "one connection serves all: %r" % ports

        async def ask(number):
            async with session.get("/slow?%d" % number) as response:
                return await response.text()

        assert await asyncio.gather(*map(ask, range(100))) == [str(number) for number in range(100)]
        async with session.post("/echo", data=pieces_later()) as response:
            answer = await response.json(content_type=None)
            assert (answer["length"], answer["framing"]) == (len(LARGE), "chunked")
        async with session.post("/echo", data=LARGE, expect100=True) as response:
            assert (await response.json(content_type=None))["length"] == len(LARGE)
        form = aiohttp.FormData({"name": "value"})
        form.add_field("file", io.BytesIO(LARGE), filename="f")
        async with session.post("/echo", data=form) as response:
            assert (await response.json(content_type=None))["length"] > len(LARGE)
        async with session.get("/stream") as response:
            assert b"".join([piece async for piece in response.content.iter_chunked(10_000)]) == LARGE
        async with session.get("/fail") as response:
            assert response.status == 500
        try:
            async with session.get("/broken") as response:
                await response.read()
            raise AssertionError("it looked whole")
        except aiohttp.ClientPayloadError:
            pass
    print("fine")


async def aiohttp_websocket():
    async with aiohttp.ClientSession(URL) as session:
        for compress in (0, 15):
            async with session.ws_connect("/socket", compress=compress, protocols=["chat"]) as socket:
                assert socket.protocol == "chat"
                assert bool(socket.compress) == bool(compress), "what was asked for was agreed on"
                for text in ("hi", "\u00fc\u4e2d\U0001f600", "", "x" * 1_000_000):
                    await socket.send_str(text)
                    assert await socket.receive_str() == text
                await socket.send_bytes(LARGE)
                assert await socket.receive_bytes() == LARGE
                await socket.ping(b"are you there")
                for number in range(100):
                    await socket.send_json({"number": number})
                for number in range(100):
                    assert await socket.receive_json() == {"number": number}
                await socket.send_str("close")
                message = await socket.receive()
                assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4001, "bye")
        try:
            await session.ws_connect("/denied")
            raise AssertionError("accepted")
        except aiohttp.WSServerHandshakeError as error:
            assert error.status == 403
    print("fine")


what = globals()[sys.argv[2]]
asyncio.run(what()) if asyncio.iscoroutinefunction(what) else what()
