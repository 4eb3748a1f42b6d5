"""A small Quart application: a page, JSON, a stream."""

import asyncio

from quart import Quart, render_template_string, request

app = Quart(__name__)


@app.before_serving
async def begin():
    app.config["STARTED"] = True


@app.get("/")
async def index():
    return await render_template_string("<h1>Hello from {{ name }}</h1>\n", name="Quart")


@app.post("/sum")
async def add_up():
    return {"sum": sum(await request.get_json()), "started": app.config.get("STARTED", False)}


@app.get("/stream")
async def stream():
    async def pieces():
        for number in range(1, 4):
            yield f"line {number}\n".encode()
            await asyncio.sleep(0)

    return pieces(), {"Content-Type": "text/plain"}
