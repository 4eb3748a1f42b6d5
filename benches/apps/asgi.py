"""The ASGI applications without a framework."""


def start(length):
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % length)]
    return {"type": "http.response.start", "status": 200, "headers": headers}


async def hello(scope, receive, send):
    assert scope["type"] == "http"
    await send(start(13))
    await send({"type": "http.response.body", "body": b"Hello, World!"})


async def echo(scope, receive, send):
    assert scope["type"] == "http"
    parts, more = [], True
    while more:
        event = await receive()
        parts.append(event["body"])
        more = event.get("more_body", False)
    body = b"".join(parts)
    await send(start(len(body)))
    await send({"type": "http.response.body", "body": body})


PIECE = b"p" * 1024


async def stream(scope, receive, send):
    assert scope["type"] == "http"
    await send(start(100 * 1024))
    for _ in range(100):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body"})


async def say(scope, receive, send):
    """Echoes WebSocket messages. Answers requests too, by which a server is known to be up."""
    if scope["type"] == "http":
        return await hello(scope, receive, send)
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
