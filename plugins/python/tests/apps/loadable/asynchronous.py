import functools


async def function(scope, receive, send):
    pass


async def generator(scope, receive, send):
    yield


class Framework:
    async def __call__(self, scope, receive, send):
        pass

    async def method(self, scope, receive, send):
        pass


instance = Framework()
method = instance.method
partial = functools.partial(function, None)


class Wsgi:
    def __call__(self, environ, start_response):
        return []


synchronous = Wsgi()
