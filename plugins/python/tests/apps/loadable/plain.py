def application(environ, start_response):
    start_response("200 OK", [])
    return [__name__.encode(), b" ", __file__.encode()]


class site:
    wsgi = application


def make():
    return application


def make_nothing():
    return None


def make_badly():
    raise LookupError("no settings")


anything = 42
