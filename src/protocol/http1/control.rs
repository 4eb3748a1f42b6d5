//! [`ControlFields`]: the fields of a head that say how the body is framed and what becomes of the
//! connection.
//!
//! Whatever two readers could understand differently is refused: that is what request smuggling lives on.

use uwrs_api::{BodyFraming, Refusal, Request, Version, is_token, list, list_with_gaps};

use crate::protocol::syntax::{NumberError, is_authority, number};

/// What a request says of the connection and of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// HTTP/1.0 or 1.1.
    pub(super) version: Version,
    /// It is a HEAD request: the answer has no body.
    pub(super) is_head: bool,
    /// The client would use the connection again (RFC 9112 §9.3).
    pub(super) persistent: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// What is known of the fields that govern framing and connection.
#[derive(Debug, Default)]
pub(super) struct ControlFields {
    /// Which of the request's fields is Host.
    host: Option<usize>,
    content_length: Option<u64>,
    transfer_encoding: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    takes_trailers: bool,
}

impl ControlFields {
    /// Which of the request's fields is Host.
    pub(super) fn host(&self) -> Option<usize> {
        self.host
    }

    /// Notes the field that was added to `request` last, if it is one of these.
    ///
    /// # Errors
    ///
    /// 400 for one that is malformed or there already, 413 for a length beyond 64 bits, 417 for an
    /// expectation that can't be met.
    pub(super) fn note(&mut self, request: &Request) -> Result<(), Refusal> {
        let Some(&(name, value)) = request.fields.last() else {
            return Ok(());
        };
        let value = request.get(value);
        match request.get(name) {
            b"host" => {
                if self.host.replace(request.fields.len() - 1).is_some() {
                    return Err(Refusal::new(400, "more than one Host"));
                }
                if !is_authority(value) {
                    return Err(Refusal::new(400, "a malformed Host"));
                }
            }
            b"content-length" => {
                let length = content_length(value)?;
                if self.content_length.replace(length).is_some() {
                    return Err(Refusal::new(400, "more than one Content-Length"));
                }
            }
            b"transfer-encoding" => self.transfer_encoding = true,
            b"connection" => {
                for option in list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            // RFC 9110 §10.1.1: HTTP/1.0 knows no expectations.
            b"expect" if request.version != Version::Http10 => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::new(417, "an expectation other than 100-continue"));
                }
                self.expects_continue = true;
            }
            // RFC 9110 §10.1.4; HTTP/1.0 has no chunks that they could follow.
            b"te" if request.version != Version::Http10 => {
                self.takes_trailers |= list(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Does the client take fields behind an answer's body?
    pub(super) fn takes_trailers(&self) -> bool {
        self.takes_trailers
    }

    /// How the body of `request` is framed (RFC 9112 §6.3).
    ///
    /// # Errors
    ///
    /// 400 for a Transfer-Encoding beside a Content-Length, in HTTP/1.0, or that does not end with one
    /// `chunked`; 501 for another coding before that.
    pub(super) fn framing(&self, request: &Request) -> Result<BodyFraming, Refusal> {
        if !self.transfer_encoding {
            return Ok(self.content_length.map_or(BodyFraming::None, BodyFraming::Length));
        }
        if self.content_length.is_some() {
            return Err(Refusal::new(400, "both Content-Length and Transfer-Encoding"));
        }
        if request.version == Version::Http10 {
            return Err(Refusal::new(400, "Transfer-Encoding in HTTP/1.0"));
        }
        let values = request.fields().filter(|(name, _)| *name == b"transfer-encoding");
        let codings: Vec<&[u8]> = values.flat_map(|(_, value)| list_with_gaps(value)).collect();
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        match &codings[..] {
            [only] if is_chunked(only) => Ok(BodyFraming::Chunked),
            [others @ .., last]
                if is_chunked(last)
                    && others
                        .iter()
                        .all(|coding| is_token(coding) && !is_chunked(coding)) =>
            {
                Err(Refusal::new(501, "a transfer coding other than chunked"))
            }
            _ => Err(Refusal::new(
                400,
                "a Transfer-Encoding that does not end with one chunked",
            )),
        }
    }

    /// What `request` asks of its answer.
    pub(super) fn terms(&self, request: &Request) -> Terms {
        Terms {
            version: request.version,
            is_head: request.method() == b"HEAD",
            persistent: !self.close && (self.keep_alive || request.version != Version::Http10),
            expects_continue: self.expects_continue,
        }
    }
}

fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    number(value).map_err(|error| match error {
        NumberError::Malformed => Refusal::new(400, "a malformed Content-Length"),
        NumberError::Overflow => Refusal::new(413, "the body is longer than allowed"),
    })
}
