//! Whether a request came by `https`, as the listener, the gateway protocol, or the variables of a server in front say.

use uwrs_api::{ConnectionInfo, Request};

/// Did the client use TLS? As far as a trusted front, or the listener itself, says so. `X-Forwarded-Proto` is a header that
/// any client can send: a front that means it says so by `uwsgi_param`.
pub(crate) fn is_https(request: &Request, connection: &ConnectionInfo) -> bool {
    if connection.tls || request.get(request.scheme) == b"https" {
        return true;
    }
    if request.variables.is_empty() {
        return false;
    }
    let says_on = |value: &[u8]| value == b"1" || value.eq_ignore_ascii_case(b"on");
    request.variable(b"HTTPS").is_some_and(says_on) || request.variable(b"UWSGI_SCHEME") == Some(b"https")
}
