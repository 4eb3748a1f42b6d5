"""Every path of the project."""

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import path

from guestbook import views

urlpatterns = [
    path("", views.index),
    path("admin/", admin.site.urls),
    path("cookies", views.cookies),
    path("echo/<path:rest>", views.echo),
    path("echo/", views.echo),
    path("fail", views.fail),
    # The admin's styles, without a build step. A real site lets the web server in front do this.
    path("static/<path:path>", serve, {"insecure": True}),
    path("stream", views.stream),
    path("slowly", views.slowly),
    path("ticks", views.ticks),
    path("upload", views.upload),
]
