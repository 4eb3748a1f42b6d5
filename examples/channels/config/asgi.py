"""Who answers what: Django over HTTP, consumers over WebSockets."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django = get_asgi_application()

from chat.consumers import Room, Shout  # noqa: E402: Django has to be ready first

sockets = URLRouter([path("rooms/<slug:name>", Room.as_asgi()), path("shout", Shout.as_asgi())])

application = ProtocolTypeRouter({"http": django, "websocket": AllowedHostsOriginValidator(sockets)})
