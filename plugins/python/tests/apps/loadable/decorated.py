from uwsgidecorators import timer


def application(environ, start_response):
    raise AssertionError
