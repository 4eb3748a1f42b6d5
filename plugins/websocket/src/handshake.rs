//! [`Handshake`]: the opening handshake (RFC 6455 §4.2), from a request to the answer that begins a [`WebSocket`].

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use uwrs_api::{BodyFraming, Request, ResponseHead, Version, is_token, list};

use crate::deflate::Agreement;
use crate::extension::{self, Extension};
use crate::{Settings, Store, WebSocket};

/// What a key is combined with (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Base64; of the last character's unused bits, which some clients set, nothing is asked.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// A valid request for a WebSocket, not answered yet.
#[derive(Clone, Debug)]
pub struct Handshake {
    settings: Arc<Settings>,
    /// Sec-WebSocket-Accept.
    accept: [u8; 28],
    subprotocols: Vec<String>,
    deflate: Option<Agreement>,
}

/// A request for a WebSocket that can't be granted. Nothing of it is for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// 400, or 426 for another version.
    pub status: u16,
    /// What was wrong, for the log and the answer's body; lower case.
    pub reason: Cow<'static, str>,
}

/// A subprotocol that the client did not offer: it would have to fail the connection (RFC 6455 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOffered(pub String);

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subprotocol: the client did not offer {:?}", self.0)
    }
}

impl std::error::Error for NotOffered {}

impl Handshake {
    /// Looks whether `request` is one for a WebSocket. `None`: it is not, and may be answered as any other. That is
    /// so with a method other than GET, and with HTTP/1.0, where Upgrade means nothing (RFC 9110 §7.8). Which
    /// origins are welcome is for the application to say.
    ///
    /// # Errors
    ///
    /// For a request for a WebSocket that breaks a rule; [`Rejection::head`] answers it.
    pub fn find(request: &Request, settings: &Arc<Settings>) -> Option<Result<Self, Rejection>> {
        let wants = request.method() == b"GET"
            && request.version != Version::Http10
            && has_option(request, b"upgrade", b"websocket");
        wants.then(|| Self::read(request, settings))
    }

    fn read(request: &Request, settings: &Arc<Settings>) -> Result<Self, Rejection> {
        if !has_option(request, b"connection", b"upgrade") {
            return Err(Rejection::bad(
                "a request for a WebSocket whose Connection does not say upgrade",
            ));
        }
        if !matches!(request.framing, BodyFraming::None | BodyFraming::Length(0)) {
            return Err(Rejection::bad("a request for a WebSocket with a body"));
        }
        if single(request, b"sec-websocket-version")? != Some(b"13") {
            return Err(Rejection {
                status: 426,
                reason: Cow::Borrowed("a version of WebSocket other than 13"),
            });
        }
        let key = single(request, b"sec-websocket-key")?.unwrap_or_default();
        if !BASE64
            .decode_slice(key, &mut [0; 18])
            .is_ok_and(|length| length == 16)
        {
            return Err(Rejection::bad(
                "a Sec-WebSocket-Key that is not 16 bytes in base64",
            ));
        }
        let offers = offers(request)?;
        let deflate = settings.deflate.as_ref();
        Ok(Self {
            settings: Arc::clone(settings),
            accept: accept(key),
            subprotocols: subprotocols(request)?,
            deflate: deflate.and_then(|settings| Agreement::reach(&offers, settings)),
        })
    }

    /// The subprotocols that the client offers, in the order that it prefers them; tokens.
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// The answer, 101: with it the connection becomes a WebSocket. `Upgrade` and `Connection` are among its fields, so
    /// whoever writes it must not leave them out. Of the application's own `fields` those that are the handshake's
    /// (`Upgrade`, `Connection`, `Sec-WebSocket-…`) are left out, and those about a body, which there is none of.
    ///
    /// # Errors
    ///
    /// When the client did not offer `subprotocol`.
    pub fn head<'a>(
        &self,
        subprotocol: Option<&str>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<ResponseHead, NotOffered> {
        let mut head = ResponseHead::new(101);
        head.push(b"Upgrade", b"websocket");
        head.push(b"Connection", b"Upgrade");
        head.push(b"Sec-WebSocket-Accept", &self.accept);
        if let Some(subprotocol) = subprotocol {
            if !self.subprotocols.iter().any(|offered| offered == subprotocol) {
                return Err(NotOffered(subprotocol.to_owned()));
            }
            head.push(b"Sec-WebSocket-Protocol", subprotocol.as_bytes());
        }
        if let Some(agreement) = self.deflate {
            head.push(b"Sec-WebSocket-Extensions", agreement.answer().as_bytes());
        }
        for (name, value) in fields {
            if !is_own_field(name) {
                head.push(name, value);
            }
        }
        Ok(head)
    }

    /// The connection that [`Handshake::head`] begins.
    pub fn open(self, now: Instant) -> WebSocket {
        self.open_with(now)
    }

    /// As [`Handshake::open`], for messages that are put together in something else.
    pub fn open_with<B: Store>(self, now: Instant) -> WebSocket<B> {
        WebSocket::agreed(self.settings, self.deflate, now)
    }
}

impl Rejection {
    fn bad(reason: &'static str) -> Self {
        Self {
            status: 400,
            reason: Cow::Borrowed(reason),
        }
    }

    /// What was wrong, in lower case.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Status and fields of the answer: for 426 they name the version that is spoken (RFC 6455 §4.4).
    pub fn head(&self) -> ResponseHead {
        let mut head = ResponseHead::new(self.status);
        if self.status == 426 {
            head.push(b"Upgrade", b"websocket");
            head.push(b"Connection", b"Upgrade");
            head.push(b"Sec-WebSocket-Version", b"13");
        }
        head.push(b"Content-Type", b"text/plain; charset=utf-8");
        head
    }
}

/// Is `option` an element of the fields of that name, in whatever case?
fn has_option(request: &Request, name: &[u8], option: &[u8]) -> bool {
    values(request, name)
        .flat_map(list)
        .any(|element| element.eq_ignore_ascii_case(option))
}

fn values<'a>(request: &'a Request, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let named = request.fields().filter(move |(have, _)| *have == name);
    named.map(|(_, value)| value)
}

/// The value of a field that must not be there more than once (RFC 6455 §11.3).
fn single<'a>(request: &'a Request, name: &[u8]) -> Result<Option<&'a [u8]>, Rejection> {
    let mut values = values(request, name);
    let first = values.next();
    match values.next() {
        Some(_) => Err(Rejection::bad(
            "more than one Sec-WebSocket-Key or Sec-WebSocket-Version",
        )),
        None => Ok(first),
    }
}

fn subprotocols(request: &Request) -> Result<Vec<String>, Rejection> {
    let offered = values(request, b"sec-websocket-protocol").flat_map(list);
    let texts = offered.map(|offered| match is_token(offered) {
        true => Ok(offered.iter().copied().map(char::from).collect()),
        false => Err(Rejection::bad(
            "a Sec-WebSocket-Protocol that is not a list of tokens",
        )),
    });
    texts.collect()
}

fn offers(request: &Request) -> Result<Vec<Extension>, Rejection> {
    let mut offers = Vec::new();
    for value in values(request, b"sec-websocket-extensions") {
        let malformed = |_| Rejection::bad("a malformed Sec-WebSocket-Extensions");
        offers.extend(extension::parse(value).map_err(malformed)?);
    }
    Ok(offers)
}

/// What proves that the handshake was understood (RFC 6455 §4.2.2).
fn accept(key: &[u8]) -> [u8; 28] {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key);
    sha1.update(GUID);
    let mut accept = [0; 28];
    let written = BASE64.encode_slice(sha1.digest().bytes(), &mut accept);
    debug_assert_eq!(written.ok(), Some(28), "20 bytes are 28 characters");
    accept
}

/// Is a field of that name, in whatever case, none of the application's?
fn is_own_field(name: &[u8]) -> bool {
    const OWN: [&[u8]; 5] = [
        b"upgrade",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"keep-alive",
    ];
    const PREFIX: &[u8] = b"sec-websocket-";
    OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
        || name
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The request of RFC 6455 §1.3, with `changes`: fields that replace those of the same name; an empty value leaves
    /// the field out.
    fn request(changes: &[(&str, &str)]) -> Request {
        let mut fields = vec![
            ("host", "server.example.com"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("origin", "http://example.com"),
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-version", "13"),
        ];
        fields.retain(|(name, _)| changes.iter().all(|(changed, _)| name != changed));
        fields.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let mut request = Request::default();
        request.method = request.text.push(b"GET");
        for (name, value) in fields {
            let pair = (
                request.text.push(name.as_bytes()),
                request.text.push(value.as_bytes()),
            );
            request.fields.push(pair);
        }
        request
    }

    fn find(request: &Request) -> Option<Result<Handshake, Rejection>> {
        Handshake::find(request, &Arc::default())
    }

    fn granted(changes: &[(&str, &str)]) -> Handshake {
        find(&request(changes))
            .expect("a request for a WebSocket")
            .expect("a valid one")
    }

    fn lines(head: &ResponseHead) -> Vec<String> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        head.fields()
            .map(|(name, value)| format!("{}: {}", text(name), text(value)))
            .collect()
    }

    #[test]
    fn the_rfcs_own_example_is_answered_as_the_rfc_answers_it() {
        let head = granted(&[]).head(Some("chat"), []).unwrap();
        assert_eq!(head.status, 101);
        assert_eq!(
            lines(&head),
            [
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                "Sec-WebSocket-Protocol: chat",
            ]
        );
    }

    #[test]
    fn options_are_elements_of_lists_in_whatever_case() {
        for (name, value) in [
            ("upgrade", "WebSocket"),
            ("upgrade", "h2c, websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("connection", "uPGRADE,keep-alive"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR=="),
        ] {
            granted(&[(name, value)]);
        }
    }

    #[test]
    fn what_does_not_ask_for_a_websocket_is_an_ordinary_request() {
        for upgrade in ["", "h2c", "websockets", "web socket"] {
            assert!(find(&request(&[("upgrade", upgrade)])).is_none(), "{upgrade:?}");
        }
        let mut post = request(&[]);
        post.method = post.text.push(b"POST");
        assert!(find(&post).is_none());
        let mut old = request(&[]);
        old.version = Version::Http10;
        assert!(find(&old).is_none());
    }

    #[test]
    fn a_request_that_breaks_a_rule_is_rejected() {
        for (name, value, status) in [
            ("connection", "", 400),
            ("connection", "keep-alive", 400),
            ("sec-websocket-version", "", 426),
            ("sec-websocket-version", "8", 426),
            ("sec-websocket-version", "13, 8", 426),
            ("sec-websocket-key", "", 400),
            ("sec-websocket-key", "x", 400),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ", 400),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j", 400),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSE=", 400),
            (
                "sec-websocket-key",
                "dGhlIHNhbXBsZSBub25jZWUhISEhISEhISEhISEhISEh",
                400,
            ),
            ("sec-websocket-protocol", "a b", 400),
            ("sec-websocket-protocol", "a/b", 400),
            ("sec-websocket-extensions", "a;", 400),
        ] {
            let answer = find(&request(&[(name, value)])).expect("a request for a WebSocket");
            assert_eq!(answer.unwrap_err().status, status, "{name}: {value}");
        }
        let twice = request(&[("sec-websocket-version", "13"), ("sec-websocket-version", "13")]);
        assert_eq!(find(&twice).unwrap().unwrap_err().status, 400);
        let mut with_body = request(&[]);
        with_body.framing = BodyFraming::Chunked;
        assert_eq!(find(&with_body).unwrap().unwrap_err().status, 400);
    }

    #[test]
    fn another_version_is_told_which_one_is_spoken() {
        let rejection = find(&request(&[("sec-websocket-version", "8")]))
            .unwrap()
            .unwrap_err();
        assert!(lines(&rejection.head()).contains(&"Sec-WebSocket-Version: 13".to_owned()));
    }

    #[test]
    fn subprotocols_are_those_of_all_fields_in_order() {
        let changes = [
            ("sec-websocket-protocol", "b, a"),
            ("sec-websocket-protocol", ",c,"),
        ];
        assert_eq!(granted(&changes).subprotocols(), ["b", "a", "c"]);
        assert!(
            granted(&[("sec-websocket-protocol", "")])
                .subprotocols()
                .is_empty()
        );
    }

    #[test]
    fn a_subprotocol_is_one_that_was_offered() {
        let error = granted(&[]).head(Some("Chat"), []).unwrap_err();
        assert_eq!(
            error.to_string(),
            "subprotocol: the client did not offer \"Chat\""
        );
    }

    #[test]
    fn compression_is_agreed_on_where_both_want_it() {
        let offer = [(
            "sec-websocket-extensions",
            "x, permessage-deflate; client_max_window_bits",
        )];
        let head = granted(&offer).head(None, []).unwrap();
        let answer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12";
        assert_eq!(lines(&head)[3..], [answer]);
        let settings = Arc::new(Settings {
            deflate: None,
            ..Settings::default()
        });
        let handshake = Handshake::find(&request(&offer), &settings).unwrap().unwrap();
        assert_eq!(lines(&handshake.head(None, []).unwrap()).len(), 3);
    }

    #[test]
    fn the_application_adds_fields_but_not_those_of_the_handshake() {
        let fields = [
            (&b"Set-Cookie"[..], &b"a=b"[..]),
            (b"upgrade", b"h2c"),
            (b"Sec-WebSocket-Accept", b"x"),
            (b"content-length", b"5"),
        ];
        let lines = lines(&granted(&[]).head(None, fields).unwrap());
        assert_eq!(lines[3..], ["Set-Cookie: a=b"]);
    }

    proptest! {
        #[test]
        fn whatever_a_client_says_is_granted_rejected_or_an_ordinary_request(
            name in prop::sample::select(vec![
                "upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
                "sec-websocket-extensions", "sec-websocket-extensions",
            ]),
            value in prop_oneof![
                "(permessage-deflate|a|;|,|=|\"|\\\\| |server_max_window_bits|client_max_window_bits|8|15){0,9}",
                "[ -~\u{80}-\u{ff}]{0,30}",
            ],
        ) {
            let value: Vec<u8> = value.chars().map(|character| character as u8).collect();
            let mut request = request(&[(name, "")]);
            let pair = (request.text.push(name.as_bytes()), request.text.push(&value));
            request.fields.push(pair);
            match find(&request) {
                None => prop_assert_eq!(name, "upgrade"),
                Some(Err(rejection)) => prop_assert!([400, 426].contains(&rejection.status)),
                Some(Ok(handshake)) => {
                    let head = handshake.head(handshake.subprotocols().first().map(String::as_str), []);
                    prop_assert_eq!(head.map(|head| head.status), Ok(101));
                }
            }
        }
    }
}
