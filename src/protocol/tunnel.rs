//! [`Tunnel`]: a connection that has left its protocol with a 101. What comes is a body without an end, what goes out goes
//! out as it is; what either means is the gateway's business.

use std::borrow::Cow;

use uwrs_api::{
    BodyLength, Bytes, Event, FilePart, Inbound, Outbound, Protocol, ProtocolState, Refusal, ResponseHead,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Tunnel {
    is_closed: bool,
}

impl Protocol for Tunnel {
    fn receive<'a>(&mut self, input: &mut Inbound<'a>, _output: &mut Outbound) -> Event<'a> {
        match input.take(usize::MAX) {
            [] => Event::Starved,
            _ if self.is_closed => Event::Starved,
            bytes => Event::Body(bytes),
        }
    }

    fn invite_body(&mut self, _output: &mut Outbound) {}

    fn reply_head(
        &mut self,
        _head: &ResponseHead,
        _length: BodyLength,
        _date: &[u8],
        _output: &mut Outbound,
    ) {
    }

    fn reply_interim(&mut self, _head: &ResponseHead, _output: &mut Outbound) {}

    fn reply_data(&mut self, data: Bytes, output: &mut Outbound) {
        if !self.is_closed {
            output.push(data);
        }
    }

    fn reply_file(&mut self, part: FilePart, output: &mut Outbound) {
        if !self.is_closed {
            output.push_file(part);
        }
    }

    fn reply_end(&mut self, _output: &mut Outbound) -> Result<(), Cow<'static, str>> {
        self.is_closed = true;
        Ok(())
    }

    fn reply_room(&self) -> u64 {
        match self.is_closed {
            true => 0,
            false => u64::MAX,
        }
    }

    /// The gateway says its own goodbye.
    fn is_end_hidden(&self) -> bool {
        false
    }

    fn refuse(&mut self, _refusal: &Refusal, _date: &[u8], _output: &mut Outbound) {
        self.is_closed = true;
    }

    fn drain(&mut self) {}

    fn state(&self) -> ProtocolState {
        match self.is_closed {
            true => ProtocolState::Closed,
            false => ProtocolState::Switched,
        }
    }
}
