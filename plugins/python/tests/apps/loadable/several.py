def one(environ, start_response):
    pass


applications = {"/one": one, "/two/": "one", "": lambda environ, start_response: []}
