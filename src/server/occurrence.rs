//! [`Occurrence`]: what epoll said of one descriptor.

use mio::event::Event;

/// What epoll said of one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) token: usize,
    /// There is something to read, an end or an error among it.
    pub(super) readable: bool,
    /// There is room to write, or an error to find out by writing.
    pub(super) writable: bool,
    /// The peer will send no more.
    pub(super) read_closed: bool,
    /// The connection is over in both directions.
    pub(super) hung_up: bool,
}

impl Occurrence {
    /// From a bit mask of epoll's, with the token that the descriptor was registered with.
    pub(super) fn new(token: u64, bits: u32) -> Self {
        let has = |flag: libc::c_int| bits & flag.cast_unsigned() != 0;
        let over = has(libc::EPOLLHUP);
        let error = has(libc::EPOLLERR);
        let read_closed = over || has(libc::EPOLLRDHUP);
        Self {
            token: token as usize,
            readable: has(libc::EPOLLIN) || read_closed || error,
            writable: has(libc::EPOLLOUT) || over || error,
            read_closed,
            hung_up: over || error,
        }
    }
}

impl From<&Event> for Occurrence {
    fn from(event: &Event) -> Self {
        Self {
            token: event.token().0,
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            read_closed: event.is_read_closed(),
            hung_up: event.is_write_closed() || event.is_error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_something_to_read_and_the_end_of_both_directions_hangs_up() {
        let half = Occurrence::new(7, (libc::EPOLLIN | libc::EPOLLRDHUP).cast_unsigned());
        assert_eq!((half.token, half.readable, half.writable), (7, true, false));
        assert_eq!((half.read_closed, half.hung_up), (true, false));

        let whole = Occurrence::new(7, libc::EPOLLHUP.cast_unsigned());
        assert!(whole.readable && whole.writable && whole.read_closed && whole.hung_up);

        let room = Occurrence::new(7, libc::EPOLLOUT.cast_unsigned());
        assert_eq!((room.readable, room.writable, room.hung_up), (false, true, false));
    }
}
