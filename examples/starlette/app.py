"""A small Starlette application: a page, a file, a mount, the body as it comes."""

from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route


async def index(request):
    return PlainTextResponse("Hello from Starlette\n")


async def count(request):
    """Length of a body that never is in memory as a whole."""
    length = 0
    async for piece in request.stream():
        length += len(piece)
    return JSONResponse({"bytes": length})


async def source(request):
    return FileResponse(__file__, media_type="text/x-python")


async def where(request):
    return JSONResponse({"url": str(request.url), "root_path": request.scope["root_path"]})


app = Starlette(
    routes=[
        Route("/", index),
        Route("/count", count, methods=["POST"]),
        Route("/source", source),
        Mount("/below", routes=[Route("/where", where)]),
    ]
)
