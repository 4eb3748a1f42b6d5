"""Applications that the tests ask for: each does one thing of PEP 3333, right or wrong."""

import io
import json
import os
import sys
import tempfile
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]

# What happened, in order; /events tells and forgets it.
EVENTS = []


def events(environ, start_response):
    start_response("200 OK", TEXT)
    told = ",".join(EVENTS)
    EVENTS.clear()
    return [told.encode()]


class Body:
    """An iterable with a close() that is told of."""

    def __init__(self, pieces, name="closed"):
        self.pieces = iter(pieces)
        self.name = name

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self):
        EVENTS.append(self.name)


# --- environ ---


def environ(environ, start_response):
    """The environ as JSON: strings as they are, other things by their repr."""
    start_response("200 OK", TEXT)
    told = {key: value if type(value) is str else repr(value) for key, value in environ.items()}
    return [json.dumps(told).encode()]


def environ_types(environ, start_response):
    start_response("200 OK", TEXT)
    assert type(environ) is dict
    wrong = [key for key, value in environ.items() if type(key) is not str]
    wrong += [
        key
        for key, value in environ.items()
        if not key.startswith(("wsgi.", "uwsgi.")) and type(value) is not str
    ]
    return [",".join(wrong).encode()]


def pollute(environ, start_response):
    environ["left.behind"] = "by another request"
    environ["wsgi.version"] = "spoilt"
    del environ["REQUEST_METHOD"]
    start_response("200 OK", TEXT)
    return [b""]


def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("one line\n")
    stream.writelines(["two\n", "three \u20ac\n"])
    stream.flush()
    start_response("200 OK", TEXT)
    return [b"written"]


# --- wsgi.input ---


def read_with(work):
    def application(environ, start_response):
        start_response("200 OK", TEXT)
        return [repr(work(environ["wsgi.input"])).encode()]

    return application


read = read_with(lambda stream: stream.read())
read_sizes = read_with(lambda s: [s.read(3), s.read(0), s.read(2), s.read(-1), s.read(5), s.read()])
read_lines = read_with(lambda s: [s.readline(), s.readline(2), s.readline(), s.readline(), s.readline()])
readlines = read_with(lambda stream: stream.readlines())
readlines_hint = read_with(lambda stream: stream.readlines(3))
iterate = read_with(lambda stream: list(stream))
mixed = read_with(lambda s: [s.readline(), s.read(2), next(s), s.read()])
is_pollutable = read_with(lambda s: hasattr(s, "write") or hasattr(s, "__dict__"))
buffered = read_with(lambda s: io.BufferedReader(s).read())
text = read_with(lambda s: io.TextIOWrapper(s, "utf-8").read())
seek = read_with(lambda s: [s.read(), s.seek(0), s.read()])


# --- what is returned ---


def hello(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"Hello, world!\n"]


def returns(value, status="200 OK", headers=TEXT):
    def application(environ, start_response):
        start_response(status, list(headers))
        return value() if callable(value) else value

    return application


class ListOfOwn(list):
    def __iter__(self):
        return iter([b"from ", b"__iter__"])


class BytesOfOwn(bytes):
    pass


empty_list = returns([])
empties = returns([b"", b""])
three = returns([b"one ", b"two ", b"three"])
a_tuple = returns((b"in a ", b"tuple"))
own_list = returns(lambda: ListOfOwn([b"x"]))
own_bytes = returns(lambda: [BytesOfOwn(b"subclass")])
bare_bytes = returns(b"whole")
large = returns(lambda: [b"x" * 1_000_000])
large_pieces = returns(lambda: [b"a" * 100_000, b"b", b"c" * 50_000])
large_pieces_304 = returns(lambda: [b"a" * 100_000, b"b"], "304 Not Modified")
none = returns(None)
a_str = returns("text")
str_piece = returns(["text"])
str_in_three = returns([b"one", "two", b"three"])
str_yielded = returns(lambda: Body([b"one", "two"]))
int_piece = returns(lambda: Body([1]))
not_iterable = returns(42)
closing = returns(lambda: Body([b"one ", b"two ", b"three"]))
closing_empty = returns(lambda: Body([]))
closing_length = returns(lambda: Body([b"12345", b"never asked for"]), headers=TEXT + [("Content-Length", "5")])
closing_error_first = returns(lambda: Body([b"", ValueError("at once")]))
closing_error_later = returns(lambda: Body([b"one", ValueError("later")]))
closing_unencodable = returns(lambda: Body(["text"]))


class CloseRaises(Body):
    def close(self):
        EVENTS.append("closed")
        raise RuntimeError("cannot close")


close_raises = returns(lambda: CloseRaises([b"whole"]))


def generator(environ, start_response):
    EVENTS.append("begun")
    start_response("201 Created", TEXT + [("X-From", "generator")])
    try:
        yield b""
        yield b"one "
        EVENTS.append("after one")
        yield b"two "
        EVENTS.append("after two")
        yield b"three"
        EVENTS.append("at the end")
    finally:
        EVENTS.append("closed")


def silent_generator(environ, start_response):
    start_response("204 No Content", [])
    return
    yield b""


class Application:
    """An application that is a class: its instances are the answers."""

    def __init__(self, environ, start_response):
        self.start = start_response

    def __iter__(self):
        self.start("200 OK", TEXT)
        yield b"an instance"


# --- start_response ---


def status(line):
    return returns([b"x"], line)


status_odd = status("299 Very Odd")
status_999 = status("999 No Such Thing")
status_bare = status("404")
status_long = status("1000 Too Long")
status_interim = status("100 Continue")
status_words = status("OK")
status_newline = status("200 OK\r\nX-Injected: yes")
status_bytes = status(b"200 OK")
status_unicode = status("200 \u20ac")
status_latin1 = status("200 \xe9t\xe9")


def header(name, value):
    return returns([b"x"], headers=[(name, value)])


header_newline = header("X-Header", "one\r\nX-Injected: yes")
header_nul = header("X-Header", "one\0two")
header_tab = header("X-Header", "one\ttwo")
header_latin1 = header("X-Header", "caf\xe9")
header_unicode = header("X-Header", "\u20ac")
header_name_newline = header("X-Header\r\nX-Injected", "x")
header_name_blank = header("X Header", "x")
header_name_empty = header("", "x")
header_name_colon = header("X-Header:", "x")
header_bytes = header("X-Header", b"x")
header_int = header("Content-Length", 1)
header_length_words = header("Content-Length", "one")
header_length_negative = header("Content-Length", "-1")
header_lengths = returns([b"x"], headers=[("Content-Length", "1"), ("content-length", "2")])
headers_tuple = returns([b"x"])
headers_pairs_of_lists = returns([b"x"], headers=[["X-Header", "x"]])
headers_repeated = returns([b"x"], headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])


def headers_not_a_list(environ, start_response):
    start_response("200 OK", {"X-Header": "x"})
    return [b"x"]


def unstarted(environ, start_response):
    return [b"no head"]


def unstarted_generator(environ, start_response):
    yield b"no head"


def started_late(environ, start_response):
    def body():
        start_response("202 Accepted", TEXT)
        yield b"late"

    return body()


def started_twice(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        start_response("201 Created", TEXT)
    except AssertionError as error:
        return [b"refused: " + str(error).encode()]
    return [b"taken"]


def replaced(environ, start_response):
    start_response("200 OK", TEXT + [("X-First", "1")])
    try:
        raise ValueError("changed my mind")
    except ValueError:
        start_response("503 Service Unavailable", TEXT, sys.exc_info())
    return [b"sorry"]


def too_late(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun"
    try:
        raise ValueError("too late to say")
    except ValueError as error:
        try:
            start_response("500 Oops", TEXT, sys.exc_info())
        except ValueError as raised:
            yield b" same" if raised is error else b" other"
        else:
            yield b" taken"


def too_late_after_write(environ, start_response):
    start_response("200 OK", TEXT)(b"begun")
    try:
        raise ValueError("too late to say")
    except ValueError as error:
        try:
            start_response("500 Oops", TEXT, sys.exc_info())
        except ValueError as raised:
            return [b" same" if raised is error else b" other"]
    return [b" taken"]


def by_keyword(environ, start_response):
    start_response("200 OK", headers=TEXT, exc_info=None)
    return [b"taken"]


KEPT = []


def keep(environ, start_response):
    """Keeps its start_response and write, as a leaking application does."""
    KEPT.append((start_response, start_response("200 OK", TEXT)))
    return [b"kept"]


def use_kept(environ, start_response):
    start_response("200 OK", TEXT)
    told = []
    for start, write in KEPT:
        for call in (lambda: start("500 Late", TEXT), lambda: write(b"late")):
            try:
                call()
                told.append("taken")
            except RuntimeError as error:
                told.append(str(error))
    KEPT.clear()
    return [",".join(told).encode()]


# --- write ---


def write(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"pushed ")
    write(b"")
    write(b"twice, ")
    return [b"then returned"]


def write_alone(environ, start_response):
    start_response("200 OK", TEXT)(b"pushed")
    return []


def write_then_iterate(environ, start_response):
    start_response("200 OK", TEXT)(b"pushed ")
    return Body([b"and ", b"pulled"])


def write_str(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


def write_then_raise(environ, start_response):
    start_response("200 OK", TEXT)(b"half an answer")
    raise ValueError("after writing")


# --- errors ---


def raises(error):
    def application(environ, start_response):
        raise error

    return application


raise_error = raises(ValueError("nothing started"))
raise_exit = raises(SystemExit(3))
raise_interrupt = raises(KeyboardInterrupt())
raise_base = raises(BaseException("bare"))


def raise_started(environ, start_response):
    start_response("200 OK", TEXT)
    raise ValueError("head not sent")


def raise_unprintable(environ, start_response):
    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    raise Unprintable


# --- wsgi.file_wrapper ---


class File(io.BytesIO):
    def close(self):
        EVENTS.append("file closed")
        super().close()


def file_wrapper(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](File(b"x" * 10_000), 4096)


def file_wrapper_default(environ, start_response):
    start_response("200 OK", TEXT)
    wrapper = environ["wsgi.file_wrapper"](File(b"x" * 10_000))
    assert (wrapper.blksize, wrapper.filelike.tell()) == (8192, 0)
    return wrapper


def file_wrapper_without_close(environ, start_response):
    class Reader:
        blocks = [b"one ", b"two"]

        def read(self, size):
            return self.blocks.pop(0) if self.blocks else b""

    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](Reader())


def file_wrapper_file(environ, start_response):
    file = tempfile.TemporaryFile()
    file.write(b"from a file")
    file.seek(0)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](file)


def temporary(content=b"0123456789", open_it=open):
    """An open file."""
    path = os.path.join(tempfile.gettempdir(), f"uwrs-wrapped-{os.getpid()}")
    with open(path, "wb") as file:
        file.write(content)
    try:
        return open_it(path, "rb")
    finally:
        os.unlink(path)


def wraps_file(make, headers=TEXT, status="200 OK"):
    def application(environ, start_response):
        start_response(status, list(headers))
        return environ["wsgi.file_wrapper"](make(), 4)

    return application


class Behind:
    """Hands out what the file behind it has, as Django's File does."""

    def __init__(self, file):
        self.file = file

    read = property(lambda self: self.file.read)
    fileno = property(lambda self: self.file.fileno)

    def close(self):
        EVENTS.append("closed behind")
        self.file.close()


class Doubled(io.FileIO):
    def read(self, size=-1):
        return super().read(size) * 2


def positioned():
    file = temporary()
    assert file.read(3) == b"012"
    return file


def unflushed():
    file = tempfile.TemporaryFile()
    file.write(b"0123456789")
    file.seek(0)
    file.write(b"held ")
    return file


def zipped():
    import gzip

    file = tempfile.TemporaryFile()
    with gzip.GzipFile(fileobj=file, mode="wb") as stream:
        stream.write(b"unpacked")
    file.seek(0)
    return gzip.GzipFile(fileobj=file, mode="rb")


def patched():
    file = temporary()
    read = file.read
    file.read = lambda size: read(size).replace(b"5", b"five")
    return file


def named():
    file = tempfile.NamedTemporaryFile()
    file.write(b"0123456789")
    file.seek(0)
    return file


def piped():
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    return open(reader, "rb")


def closed_early():
    file = temporary()
    file.close()
    return file


wrapped_file = wraps_file(temporary)
wrapped_raw = wraps_file(lambda: temporary(open_it=io.FileIO))
wrapped_position = wraps_file(positioned)
wrapped_unflushed = wraps_file(unflushed)
wrapped_named = wraps_file(named)
wrapped_behind = wraps_file(lambda: Behind(temporary()))
wrapped_length = wraps_file(temporary, TEXT + [("Content-Length", "4")])
wrapped_304 = wraps_file(lambda: Behind(temporary()), [], "304 Not Modified")
wrapped_zipped = wraps_file(zipped)
wrapped_patched = wraps_file(patched)
wrapped_subclass = wraps_file(lambda: temporary(open_it=Doubled))
wrapped_pipe = wraps_file(piped)
wrapped_end = wraps_file(lambda: temporary(b""))
wrapped_proc = wraps_file(lambda: open("/proc/self/comm", "rb"))
wrapped_text = wraps_file(lambda: open("/proc/self/comm"))
wrapped_closed = wraps_file(closed_early)


def wrapped_unstarted(environ, start_response):
    return environ["wsgi.file_wrapper"](Behind(temporary()))


def wrapped_after_write(environ, start_response):
    start_response("200 OK", TEXT)(b"written ")
    return environ["wsgi.file_wrapper"](Behind(temporary()))


def wrapped_after_write_length(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "12")])(b"written ")
    return environ["wsgi.file_wrapper"](temporary())


def wrapped_twice(environ, start_response):
    """What a middleware puts around it counts, not what is inside."""
    inner = wrapped_file(environ, start_response)
    return (block.replace(b"5", b"five") for block in inner)


# --- the validator's word ---


def consumer(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", TEXT)
    return [b"read ", str(len(body)).encode()]


def valid_generator(environ, start_response):
    start_response("200 OK", TEXT)
    return (piece for piece in [b"one ", b"two"])


def valid_write(environ, start_response):
    start_response("200 OK", TEXT)(b"pushed")
    return [b""]


valid_hello = validator(hello)
valid_consumer = validator(consumer)
valid_generator = validator(valid_generator)
valid_write = validator(valid_write)
valid_file = validator(lambda e, s: (s("200 OK", TEXT), e["wsgi.file_wrapper"](io.BytesIO(b"in a file"), 4))[1])


# --- the process ---


def leave_a_mark_later(environ, start_response):
    """A thread that makes the file which the query names, once it gets its turn."""
    import threading

    turn = threading.Event()
    path = environ["QUERY_STRING"]
    threading.Thread(target=lambda: (turn.wait(0.01), open(path, "w").close())).start()
    start_response("200 OK", TEXT)
    return []


def tells_its_end(environ, start_response):
    """A large answer which removes the file that the query names when it is given back."""

    class Loud(bytes):
        def __del__(self, remove=os.unlink, path=environ["QUERY_STRING"]):
            remove(path)

    start_response("200 OK", TEXT)
    return [Loud(b"x" * 100_000)]


def resident(environ, start_response):
    """Kibibytes of memory, with all garbage collected; and how many objects there are."""
    import gc

    gc.collect()
    start_response("200 OK", TEXT)
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return [f"{pages * os.sysconf('SC_PAGESIZE') // 1024} {len(gc.get_objects())}".encode()]


def open_files(environ, start_response):
    start_response("200 OK", TEXT)
    return [str(len(os.listdir("/proc/self/fd"))).encode()]
