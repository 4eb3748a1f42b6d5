from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer


class Room(AsyncJsonWebsocketConsumer):
    """What one says, all in the room hear."""

    async def connect(self):
        self.name = "room-" + self.scope["url_route"]["kwargs"]["name"]
        await self.channel_layer.group_add(self.name, self.channel_name)
        await self.accept()

    async def receive_json(self, content):
        await self.channel_layer.group_send(self.name, {"type": "said", "text": content["text"]})

    async def said(self, event):
        await self.send_json({"text": event["text"]})

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.name, self.channel_name)
        await self.channel_layer.group_send(self.name, {"type": "said", "text": "someone left with %s" % code})


class Shout(WebsocketConsumer):
    """A synchronous one: Channels calls it in a thread."""

    def receive(self, text_data=None, bytes_data=None):
        if text_data == "enough":
            return self.close(code=4000, reason="as you wish")
        self.send(text_data=text_data.upper())
