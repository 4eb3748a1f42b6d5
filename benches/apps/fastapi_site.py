"""FastAPI: a model as JSON."""

from fastapi import FastAPI
from pydantic import BaseModel

application = FastAPI()


class Item(BaseModel):
    name: str
    price: float


@application.get("/")
async def item() -> Item:
    return Item(name="tea", price=2.5)
