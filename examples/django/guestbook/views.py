"""A guestbook, and a view for each thing a server may get wrong: uploads, streams, cookies, errors, asynchronous views."""

import asyncio
import hashlib
import time

from django.forms import modelform_factory
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from guestbook.models import Entry

EntryForm = modelform_factory(Entry, fields=["name", "text"])


def index(request):
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("/")
    return render(request, "guestbook/index.html", {"form": form, "entries": Entry.objects.all()[:50]})


@csrf_exempt
def echo(request, rest=""):
    """What arrived, as JSON."""
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "query": dict(request.GET.lists()),
            "cookies": request.COOKIES,
            "headers": dict(request.headers),
            "body": request.body.decode("utf-8", "replace"),
        }
    )


@csrf_exempt
@require_POST
def upload(request):
    """Length and digest of the file that was sent."""
    digest, length = hashlib.sha256(), 0
    for chunk in request.FILES["file"].chunks():
        digest.update(chunk)
        length += len(chunk)
    return JsonResponse({"bytes": length, "sha256": digest.hexdigest()})


def stream(request):
    """Lines, one at a time: `?lines=10&pause=0.5`."""
    lines, pause = int(request.GET.get("lines", 10)), float(request.GET.get("pause", 0))

    def pieces():
        for number in range(1, lines + 1):
            yield f"line {number}\n"
            time.sleep(pause)

    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def slowly(request):
    """An asynchronous view: `?pause=0.5`. Under ASGI it holds up nobody meanwhile."""
    await asyncio.sleep(float(request.GET.get("pause", 0)))
    return JsonResponse({"entries": await Entry.objects.acount()})


async def ticks(request):
    """An asynchronous stream: `?lines=10&pause=0.5`."""
    lines, pause = int(request.GET.get("lines", 10)), float(request.GET.get("pause", 0))

    async def pieces():
        for number in range(1, lines + 1):
            yield f"tick {number}\n"
            await asyncio.sleep(pause)

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def cookies(request):
    response = HttpResponse("two cookies\n", content_type="text/plain")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


def fail(request):
    raise LookupError("failed on purpose")
