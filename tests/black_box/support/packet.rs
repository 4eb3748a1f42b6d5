//! uwsgi packets, written by hand.

/// A packet: four bytes of head, then variables. The request's body is not part of it.
pub(crate) fn packet<T: AsRef<[u8]>>(modifier: u8, variables: &[(T, T)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in variables {
        for bytes in [name.as_ref(), value.as_ref()] {
            block.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_le_bytes());
            block.extend_from_slice(bytes);
        }
    }
    let mut packet = vec![modifier];
    packet.extend_from_slice(&u16::try_from(block.len()).unwrap().to_le_bytes());
    packet.push(0);
    packet.extend_from_slice(&block);
    packet
}

/// The packet of a request as nginx's stock `uwsgi_params` make it, with `more` behind.
pub(crate) fn request(method: &str, target: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut variables = vec![
        ("QUERY_STRING", query),
        ("REQUEST_METHOD", method),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("REQUEST_URI", target),
        ("PATH_INFO", path),
        ("DOCUMENT_ROOT", "/usr/share/nginx/html"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_SCHEME", "http"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "54321"),
        ("SERVER_PORT", "80"),
        ("SERVER_NAME", "example.org"),
        ("HTTP_HOST", "example.org"),
    ];
    for &(name, value) in more {
        variables.retain(|&(have, _)| have != name || name.starts_with("HTTP_"));
        variables.push((name, value));
    }
    packet(0, &variables)
}
