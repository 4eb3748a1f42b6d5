//! What asyncio offers an application, on either loop: it is there, and does what it does under any other server.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{HTTP, Running, Server, soon, venv};

const APP: &str = r#"
import asyncio
import contextvars
import functools
import io
import os
import signal
import sys
import threading

import anyio
import anyio.to_thread
import anyio.from_thread

VARIABLE = contextvars.ContextVar("variable")
HEARD = []


async def lifespan(receive, send):
    loop = asyncio.get_running_loop()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, HEARD.append, signal.Signals(number).name)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("the life ends", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def current_task(receive, send):
    task = asyncio.current_task()
    assert task is not None and not task.done()
    await asyncio.sleep(0)
    assert asyncio.current_task() is task and task in asyncio.all_tasks()
    assert asyncio.get_running_loop() is asyncio.get_event_loop() is task.get_loop()


async def tasks_of_events(receive, send):
    """Under other servers receive() is a coroutine function, and so people treat it."""
    task = asyncio.create_task(receive())
    assert (await task)["body"] == b"body"
    assert isinstance(receive(), asyncio.Future) is False and asyncio.iscoroutine(receive())
    waiting = asyncio.ensure_future(receive())
    done, pending = await asyncio.wait([waiting], timeout=0.01)
    assert pending == {waiting}
    assert "pending" in repr(waiting) and waiting.get_stack() == []
    waiting.print_stack(file=io.StringIO())
    waiting.cancel()
    try:
        await waiting
    except asyncio.CancelledError:
        pass
    assert waiting.cancelled()
    try:
        await asyncio.wait_for(receive(), 0.01)
    except asyncio.TimeoutError:
        pass
    unborn = asyncio.create_task(receive())
    unborn.cancel()
    await asyncio.wait([unborn])
    assert unborn.cancelled()


async def no_event_is_lost(receive, send):
    """One that nobody awaits, or whose task is cancelled before it begins, takes none."""
    receive()
    unborn = asyncio.create_task(receive())
    unborn.cancel()
    await asyncio.wait([unborn])
    receive().close()
    try:
        receive().throw(LookupError("thrown"))
    except LookupError as error:
        assert str(error) == "thrown"
    try:
        receive().throw(LookupError, "thrown", None)
    except LookupError as error:
        assert str(error) == "thrown"
    assert (await receive())["body"] == b"body"


async def side_by_side(receive, send):
    """Parts that several tasks send, and one that receives meanwhile."""
    listening = asyncio.ensure_future(receive())
    first = await listening
    listening = asyncio.create_task(receive())
    await asyncio.gather(*(asyncio.sleep(0.001 * number) for number in range(5)))
    assert first["type"] == "http.request" and not listening.done()
    listening.cancel()


async def task_group(receive, send):
    results = []

    async def work(number):
        await anyio.sleep(0.001 * number)
        results.append(number)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, number)
    assert results == list(range(5))
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 3600)
        group.cancel_scope.cancel()
    assert await receive_in_scope(receive) == b"body"


async def receive_in_scope(receive):
    with anyio.fail_after(30):
        return (await receive())["body"]


async def cancel_scope(receive, send):
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(3600)
    assert scope.cancel_called
    await receive()
    with anyio.move_on_after(0.01) as scope:
        await receive()
        raise AssertionError("nothing comes")
    assert scope.cancel_called
    await anyio.sleep(0)


async def threads(receive, send):
    loop = asyncio.get_running_loop()
    VARIABLE.set("seen")
    here = threading.get_ident()
    there, seen = await asyncio.to_thread(lambda: (threading.get_ident(), VARIABLE.get()))
    assert there != here and seen == "seen"
    assert await loop.run_in_executor(None, functools.partial(sum, [1, 2, 3])) == 6
    assert await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(there_and_back)) == "back"
    future = loop.create_future()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "called")).start()
    assert await future == "called"
    assert await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(there_and_back(), loop).result()) == "back"


async def there_and_back():
    await asyncio.sleep(0)
    return "back"


async def timeouts(receive, send):
    try:
        await asyncio.wait_for(asyncio.sleep(3600), 0.01)
        raise AssertionError
    except asyncio.TimeoutError:
        pass
    if sys.version_info >= (3, 11):
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)
            raise AssertionError
        except TimeoutError:
            pass
        async with asyncio.timeout(None) as scope:
            scope.reschedule(asyncio.get_running_loop().time() + 3600)
            await receive()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(there_and_back())
        assert first.result() == "back"
    assert asyncio.current_task().cancelled() is False


async def cancellation(receive, send):
    task = asyncio.current_task()
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    await receive()
    try:
        await receive()
        raise AssertionError
    except asyncio.CancelledError:
        pass
    if sys.version_info >= (3, 11):
        task.uncancel()


async def subprocesses(receive, send):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; print(sys.stdin.read().upper(), end='')",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate(b"hello")
    assert (output, process.returncode) == (b"HELLO", 0)
    process = await asyncio.create_subprocess_shell("exit 3")
    assert await process.wait() == 3
    process = await asyncio.create_subprocess_exec("sleep", "3600")
    process.terminate()
    assert await process.wait() == -signal.SIGTERM


async def streams(receive, send):
    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()


async def eager_tasks(receive, send):
    """Python 3.12: all tasks of the loop begin at once, those of the server's requests too."""
    if not hasattr(asyncio, "eager_task_factory"):
        return
    loop = asyncio.get_running_loop()
    if type(loop).__module__ == "uvloop" and (3, 13) <= sys.version_info < (3, 13, 3):
        return  # uvloop gives this factory an argument, `eager_start`, that it takes from 3.13.3 on
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        task = loop.create_task(receive())
        assert task.done() and task.result()["body"] == b"body"
        assert await loop.create_task(there_and_back()) == "back"
    finally:
        loop.call_later(1, loop.set_task_factory, None)


async def generators(receive, send):
    async def numbers():
        try:
            for number in range(3):
                yield number
                await asyncio.sleep(0)
        finally:
            HEARD.append("closed")

    async for number in numbers():
        if number == 1:
            break
    assert [number async for number in numbers()] == [0, 1, 2]


CHECKS = {
    check.__name__: check
    for check in (
        current_task, tasks_of_events, no_event_is_lost, side_by_side, task_group, cancel_scope, threads, timeouts,
        cancellation, subprocesses, streams, eager_tasks, generators)
}


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    name = scope["path"][1:]
    if name == "heard":
        body = " ".join(word for word in HEARD if word.startswith("SIG")).encode()
    elif name == "loop":
        body = type(asyncio.get_running_loop()).__module__.encode()
    else:
        await CHECKS[name](receive, send)
        body = b"it does"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"#;

fn server(event_loop: &str) -> Option<Running> {
    let home = venv::with(event_loop)?;
    let ini = format!("{HTTP}loop = {event_loop}\nhome = {}\n", home.display());
    let server = Server::new().app(APP).ini(&ini).start();
    let loops = server.get("/loop");
    assert!(loops.text().starts_with(event_loop), "{}", loops.text());
    Some(server)
}

fn asyncio_is_all_there(event_loop: &str) {
    let Some(server) = server(event_loop) else { return };
    for check in [
        "current_task",
        "tasks_of_events",
        "no_event_is_lost",
        "side_by_side",
        "task_group",
        "cancel_scope",
        "threads",
        "timeouts",
        "cancellation",
        "subprocesses",
        "streams",
        "generators",
        "eager_tasks",
    ] {
        let response = server.connect().post(&format!("/{check}"), "body");
        assert_eq!(response.text(), "it does", "{check}\n{}", server.log());
    }
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

#[test]
fn asyncio_is_all_there_on_its_own_loop() {
    asyncio_is_all_there("asyncio");
}

#[test]
fn asyncio_is_all_there_on_uvloop() {
    asyncio_is_all_there("uvloop");
}

fn signals_are_shared(event_loop: &str) {
    let Some(mut server) = server(event_loop) else {
        return;
    };
    let worker = Pid::from_raw(server.workers()[0]);
    for (signal, heard) in [
        (Signal::SIGUSR1, "SIGUSR1"),
        (Signal::SIGUSR2, "SIGUSR1 SIGUSR2"),
        (Signal::SIGUSR1, "SIGUSR1 SIGUSR2 SIGUSR1"),
    ] {
        kill(worker, signal).unwrap();
        soon("the application hears it", || {
            server.get("/heard").text() == heard
        });
    }
    kill(worker, Signal::SIGTERM).unwrap();
    server.wait_for_log(&["the life ends"]);
    soon("another has taken over", || {
        server.workers().iter().all(|pid| *pid != worker.as_raw())
    });
    assert_eq!(server.get("/heard").text(), "");
    server.signal(Signal::SIGTERM);
    server.wait_for_end();
}

#[test]
fn what_means_nothing_to_a_worker_an_application_may_listen_to_and_the_others_are_the_servers_on_asyncio() {
    signals_are_shared("asyncio");
}

#[test]
fn what_means_nothing_to_a_worker_an_application_may_listen_to_and_the_others_are_the_servers_on_uvloop() {
    signals_are_shared("uvloop");
}
