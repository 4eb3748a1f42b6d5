"""A small Litestar application: JSON that is checked, a stream, a file, a WebSocket, a life."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

from litestar import Litestar, Request, get, post, websocket_listener
from litestar.response import File, Stream


@dataclass
class Item:
    name: str
    price: float
    amount: int = 1


@asynccontextmanager
async def life(app: Litestar):
    app.state.greeting = "Hello from Litestar"
    yield
    print("the application ends", flush=True)


@get("/")
async def index(request: Request) -> dict[str, str]:
    return {"message": request.app.state.greeting}


@post("/items")
async def sell(data: Item) -> dict[str, float]:
    return {"total": data.price * data.amount}


@post("/count")
async def count(request: Request) -> dict[str, int]:
    """Length of a body that never is in memory as a whole."""
    length = 0
    async for piece in request.stream():
        length += len(piece)
    return {"bytes": length}


@get("/stream")
async def stream() -> Stream:
    async def lines():
        for number in range(1, 4):
            yield f"line {number}\n"
            await asyncio.sleep(0)

    return Stream(lines(), media_type="text/plain")


@get("/source")
async def source() -> File:
    return File(__file__, media_type="text/x-python")


@get("/blocking", sync_to_thread=True)
def blocking() -> str:
    return "from a thread"


@websocket_listener("/shout")
async def shout(data: str) -> str:
    return data.upper()


app = Litestar([index, sell, count, stream, source, blocking, shout], lifespan=[life])
