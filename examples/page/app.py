"""A page without any framework: it shows what a WSGI application is given."""

from html import escape


def application(environ, start_response):
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(repr(value))}</td></tr>\n" for key, value in sorted(environ.items())
    )
    page = f"<!doctype html>\n<title>environ</title>\n<table>\n{rows}</table>\n".encode()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page)))])
    return [page]
