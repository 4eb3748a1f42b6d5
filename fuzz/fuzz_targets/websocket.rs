//! WebSocket frames from arbitrary bytes: nothing panics, what is promised holds, and cuts don't matter. The first byte
//! chooses what was agreed on.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use uwrs_api::Outbound;
use uwrs_websocket::{CloseCode, DeflateSettings, Event, Settings};

#[path = "../../plugins/websocket/tests/client/mod.rs"]
mod client;
#[path = "../../plugins/websocket/tests/drive/mod.rs"]
mod drive;
#[path = "../splits.rs"]
mod splits;

const LIMIT: usize = 1024;

fn settings() -> Settings {
    Settings {
        message_bytes: LIMIT,
        deflate: Some(DeflateSettings {
            min_bytes: 1,
            ..DeflateSettings::default()
        }),
        ..Settings::default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else {
        return;
    };
    let offer = match choice & 3 {
        0 => "",
        1 => "permessage-deflate",
        2 => "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        _ => "permessage-deflate; client_max_window_bits=8; server_max_window_bits=9",
    };
    let we_close = choice & 4 != 0;
    splits::check(bytes, |pieces| {
        let (mut socket, _) = client::connect_with(offer, settings());
        let mut output = Outbound::default();
        if we_close {
            socket
                .close(CloseCode::NORMAL, "", Instant::now(), &mut output)
                .expect("a good code");
        }
        let run = drive::drive(&mut socket, pieces);
        for event in &run.seen {
            let is_open = match event {
                Event::Text(text) => {
                    assert!(text.as_bytes().len() <= LIMIT && !we_close);
                    socket.send_text(text.as_str(), &mut output)
                }
                Event::Binary(bytes) => {
                    assert!(bytes.len() <= LIMIT && !we_close);
                    socket.send_binary(bytes, &mut output)
                }
                _ => continue,
            };
            assert_eq!(is_open.is_ok(), run.state == uwrs_websocket::State::Open);
        }
        run
    });
});
