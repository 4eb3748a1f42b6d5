//! What an ASGI application sends around an answer's body: fields behind it (`http.response.trailers`), hints before it.

use crate::support::{Connection, HTTP, Response, Running, Server, packet};

const APP: &str = r#"
import asyncio


async def application(scope, receive, send):
    assert scope["type"] == "http"
    told = []

    async def attempt(event, **keys):
        try:
            await send({"type": "http.response." + event, **keys})
        except Exception as error:
            told.append("%s: %s" % (type(error).__name__, error))

    async def start(**keys):
        await send({"type": "http.response.start", "status": 200, **keys})

    path = scope["path"]
    if path == "/extensions":
        await start()
        await send({"type": "http.response.body", "body": repr(scope["extensions"]).encode()})
    elif path == "/whole":
        await start(trailers=True, headers=[(b"trailer", b"digest"), (b"content-length", b"4")])
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"digest", b"of it"), (b"content-length", b"9")]})
    elif path == "/stream":
        await start(trailers=True)
        for piece in (b"one,", b"two,", b"three"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})
        await asyncio.sleep(0.01)
        await send({"type": "http.response.trailers", "headers": [(b"a", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": iter([[b"b", b"2"], (b"a", b"3")])})
        assert (await receive())["type"] == "http.disconnect"
    elif path == "/none":
        await start(trailers=True)
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": []})
    elif path == "/file":
        await start(trailers=True)
        await send({"type": "http.response.pathsend", "path": __file__})
        await send({"type": "http.response.trailers", "headers": [(b"digest", b"of it")]})
    elif path == "/short":
        await start(trailers=True)
        await send({"type": "http.response.body", "body": b"body"})
    elif path == "/split":
        await start(trailers=True)
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"a", b"1\r\nb: 2")]})
    elif path == "/missteps":
        await attempt("trailers", headers=[])
        await start()
        await attempt("trailers", headers=[])
        await send({"type": "http.response.body", "more_body": True})
        await attempt("trailers", headers=[])
        await send({"type": "http.response.body", "body": "\n".join(told).encode()})
    elif path == "/announced":
        await start(trailers=True)
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await attempt("trailers", headers=[])
        await send({"type": "http.response.body"})
        await attempt("body", body=b"more")
        await attempt("trailers")
        await attempt("trailers", headers=[("a", "b")])
        await send({"type": "http.response.trailers", "headers": [(b"t%d" % n, t.encode()) for n, t in enumerate(told)]})
    elif path == "/hinted":
        await send({"type": "http.response.early_hint", "links": [b"</first>"]})
        await start()
        await send({"type": "http.response.early_hint", "links": [b"</second>", b"</third>"]})
        await send({"type": "http.response.body", "body": b"hin", "more_body": True})
        await send({"type": "http.response.early_hint", "links": [b"</late>"]})
        await send({"type": "http.response.body", "body": b"ted"})
"#;

fn server() -> Running {
    Server::new().app(APP).ini(HTTP).start()
}

/// As a client asks that takes trailers.
fn ask(connection: &mut Connection, target: &str) -> Response {
    connection.send(format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n"
    ));
    connection.response()
}

fn pairs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn fields_follow_the_body_where_the_client_takes_them() {
    let server = server();
    let mut connection = server.connect();
    let response = ask(&mut connection, "/whole");
    assert_eq!(response.text(), "body");
    assert_eq!(response.header("trailer"), Some("digest"));
    assert_eq!(response.header("content-length"), None, "chunks have their own");
    assert_eq!(
        pairs(&response.trailers),
        [("digest", "of it")],
        "without what would frame the message"
    );
    let response = ask(&mut connection, "/stream");
    assert_eq!(response.text(), "one,two,three");
    assert_eq!(pairs(&response.trailers), [("a", "1"), ("b", "2"), ("a", "3")]);
    let response = ask(&mut connection, "/none");
    assert_eq!((response.text(), pairs(&response.trailers)), ("body", vec![]));
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

#[test]
fn who_does_not_take_them_gets_the_answer_without() {
    let server = Server::new()
        .app(APP)
        .ini(&format!("{HTTP}socket = app.sock"))
        .start();
    let mut connection = server.connect();
    for target in ["/whole", "/stream"] {
        let response = connection.get(target);
        assert_eq!(response.status, 200);
        assert_eq!(pairs(&response.trailers), []);
        assert_eq!(response.header("trailer"), None);
    }
    assert_eq!(connection.get("/whole").header("content-length"), Some("4"));
    connection.send("GET /whole HTTP/1.0\r\nTE: trailers\r\n\r\n");
    let response = connection.response();
    assert_eq!(
        (response.text(), response.header("transfer-encoding")),
        ("body", None)
    );
    let mut connection = server.connect_unix("app.sock");
    connection.send(packet::request("GET", "/whole", &[("HTTP_TE", "trailers")]));
    let response = connection.response();
    assert_eq!((response.text(), pairs(&response.trailers)), ("body", vec![]));
    let mut connection = server.connect();
    connection.send("HEAD /whole HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.get("/whole").text(), "body");
    let response = ask(&mut connection, "/file");
    assert_eq!((response.text(), pairs(&response.trailers)), (APP, vec![]));
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

#[test]
fn the_extension_is_named_to_those_alone_whose_client_takes_them() {
    let server = Server::new()
        .app(APP)
        .ini(&format!("{HTTP}socket = app.sock"))
        .start();
    let name = "http.response.trailers";
    let mut connection = server.connect();
    assert!(ask(&mut connection, "/extensions").text().contains(name));
    assert!(!connection.get("/extensions").text().contains(name));
    connection.send("GET /extensions HTTP/1.0\r\nTE: trailers\r\n\r\n");
    assert!(!connection.response().text().contains(name));
    let mut connection = server.connect_unix("app.sock");
    connection.send(packet::request("GET", "/extensions", &[("HTTP_TE", "trailers")]));
    assert!(!connection.response().text().contains(name));
}

#[test]
fn who_does_not_send_the_fields_that_were_announced_has_not_answered() {
    let server = server();
    for target in ["/short", "/split"] {
        let mut connection = server.connect();
        connection.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"
        ));
        let rest = connection.rest_until_cut();
        let rest = String::from_utf8_lossy(&rest);
        assert!(
            rest.contains("4\r\nbody\r\n") && !rest.contains("\r\n0\r\n"),
            "{rest}"
        );
    }
    server.wait_for_log(&["GET /short: the application returned before its answer was complete"]);
    server.wait_for_log(&["header a: a control character"]);
}

#[test]
fn fields_at_the_wrong_time_raise() {
    let server = server();
    let mut connection = server.connect();
    let response = ask(&mut connection, "/missteps");
    let told: Vec<&str> = response.text().lines().collect();
    let unannounced =
        "RuntimeError: send: http.response.trailers came, and http.response.start had not said \"trailers\"";
    assert_eq!(
        told,
        [
            "RuntimeError: send: http.response.trailers came before http.response.start",
            unannounced,
            unannounced
        ]
    );
    let response = ask(&mut connection, "/announced");
    let told: Vec<&str> = response.trailers.iter().map(|(_, value)| &**value).collect();
    assert_eq!(
        told,
        [
            "RuntimeError: send: http.response.trailers came before the last http.response.body",
            "RuntimeError: send: http.response.body came after the last one",
            "KeyError: 'http.response.trailers: \"headers\" is missing'",
            "TypeError: send: a header's name must be bytes, not str",
        ]
    );
}

#[test]
fn hints_may_be_sent_until_the_answer_has_begun_and_are_lost_after_that() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /hinted HTTP/1.1\r\nHost: a\r\n\r\n");
    let first = connection.head().unwrap();
    assert_eq!((first.status, first.header("link")), (103, Some("</first>")));
    let second = connection.head().unwrap();
    let links: Vec<&str> = second.headers("link").collect();
    assert_eq!((second.status, links), (103, vec!["</second>", "</third>"]));
    let response = connection.response();
    assert_eq!((response.status, response.text()), (200, "hinted"));
    assert_eq!(connection.get("/extensions").status, 200);
}
