"""Every path of the project."""

from django.contrib import admin
from django.urls import path

from guestbook import views

urlpatterns = [
    path("", views.index),
    path("admin/", admin.site.urls),
    path("cookies", views.cookies),
    path("echo/<path:rest>", views.echo),
    path("echo/", views.echo),
    path("fail", views.fail),
    path("stream", views.stream),
    path("upload", views.upload),
]
