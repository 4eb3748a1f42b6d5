"""Entries in the admin."""

from django.contrib import admin

from guestbook.models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    list_display = ["written", "name", "text"]
    search_fields = ["name", "text"]
