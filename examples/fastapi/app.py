"""A small FastAPI application: models, dependencies, a stream, work behind the answer, a lifespan."""

import asyncio
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, Depends, FastAPI, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(app):
    print("the application begins", flush=True)
    yield {"greeting": "Hello from FastAPI"}
    print("the application ends", flush=True)


app = FastAPI(title="A small FastAPI application", lifespan=lifespan)

# What happened, the latest last.
journal = []


class Item(BaseModel):
    name: str
    price: float
    amount: int = 1


async def ledger():
    """A resource of each request: what follows the yield runs when the request is over."""
    entries = []
    try:
        yield entries
    finally:
        journal.extend(entries)


@app.get("/")
async def index(request: Request):
    return {"message": request.state.greeting}


@app.post("/items", status_code=201)
async def add(item: Item, entries: list = Depends(ledger)):
    entries.append(f"sold {item.name}")
    return {"total": item.price * item.amount}


@app.get("/blocking")
def blocking():
    """A function that is no coroutine: FastAPI calls it in a thread of its own."""
    return {"journal": journal}


@app.get("/stream")
async def stream(lines: int = 10, pause: float = 0):
    async def pieces():
        for number in range(1, lines + 1):
            yield f"line {number}\n"
            await asyncio.sleep(pause)

    return StreamingResponse(pieces(), media_type="text/plain")


async def write_letter(to: str):
    await asyncio.sleep(0.05)
    journal.append(f"wrote to {to}")


@app.post("/letters/{to}", status_code=202)
async def letter(to: str, background: BackgroundTasks):
    background.add_task(write_letter, to)
    return {"status": "accepted"}


@app.post("/upload")
async def upload(file: UploadFile):
    return {"bytes": len(await file.read())}


@app.get("/fail")
async def fail():
    raise LookupError("failed on purpose")
