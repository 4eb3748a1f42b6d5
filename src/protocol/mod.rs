//! The protocols that listeners speak, each a state machine without sockets: bytes in, events out; replies
//! in, bytes out.
//!
//! [`Http1`] and [`Uwsgi`] implement [`uwrs_api::Protocol`]. What they share lies beside them: the octets of
//! HTTP (`syntax`), targets (`target`), which fields are passed on (`policy`), how an answer is framed
//! (`answer`) and what a status is called (`status`). Reading, writing, deadlines and lingering are the
//! server's business.

mod answer;
mod http1;
mod policy;
mod status;
mod syntax;
mod target;
mod tunnel;
mod uwsgi;

pub use http1::{Http1, Http1Options};
pub use status::reason_phrase;
pub use tunnel::Tunnel;
pub use uwsgi::Uwsgi;

use uwrs_api::Protocol;

use crate::config::{Limits, ProtocolKind};

/// What a request may weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a head with all its line ends (HTTP), or of a packet's variables (uwsgi). Trailers have the
    /// same limit once more. At least 64.
    pub head_bytes: usize,
    /// Header fields, or variables of a uwsgi packet, dropped ones included.
    pub fields: usize,
    /// Bytes of a body, decoded; `None`: no limit.
    pub body_bytes: Option<u64>,
}

impl HeadLimits {
    /// Is a body of `length` bytes more than what is allowed?
    fn is_too_long(&self, length: u64) -> bool {
        self.body_bytes.is_some_and(|limit| length > limit)
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            fields: 256,
            body_bytes: None,
        }
    }
}

/// What makes the server's side of a new connection on a listener of that kind.
pub fn speaker(kind: ProtocolKind) -> fn(&Limits) -> Box<dyn Protocol> {
    match kind {
        ProtocolKind::Http => |limits| {
            let keep_alive = !limits.keep_alive.is_zero();
            Box::new(Http1::new(limits.into(), Http1Options { keep_alive }))
        },
        ProtocolKind::Uwsgi => |limits| Box::new(Uwsgi::new(limits.into())),
    }
}

impl From<&Limits> for HeadLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            head_bytes: limits.head_bytes,
            fields: limits.fields,
            body_bytes: limits.body_bytes,
        }
    }
}
