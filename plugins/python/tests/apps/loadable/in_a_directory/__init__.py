import sys

name = __name__
file = __file__
module = sys.modules[__name__]


def application(environ, start_response):
    return []
