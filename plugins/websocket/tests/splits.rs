//! However bytes are cut into pieces on their way, what is seen of them is the same.

mod client;
mod drive;

use proptest::prelude::*;
use uwrs_websocket::{DeflateSettings, Settings, WebSocket};

use self::client::{close_payload, connect_with, frame};
use self::drive::drive;

const OFFER: &str = "permessage-deflate; client_max_window_bits=9";

/// Small limits, so that they are met.
fn socket(offer: &str) -> WebSocket {
    let settings = Settings {
        message_bytes: 300,
        frame_bytes: Some(200),
        deflate: Some(DeflateSettings::default()),
        ..Settings::default()
    };
    connect_with(offer, settings).0
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-c äö𝄞]{0,60}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..140),
        // "Hello", compressed, and what refers to it.
        3 => Just(vec![0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        2 => Just(vec![0xf2, 0x00, 0x11, 0x00, 0x00]),
        1 => Just(vec![0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        1 => any::<u16>().prop_map(|code| close_payload(code, b"bye")),
        1 => Just(close_payload(1000, "ä".as_bytes())),
        1 => Just(vec![b'x'; 250]),
    ]
}

/// A frame, more often a good one.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        20 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x80, 0xc1, 0xc2, 0x41, 0x89, 0x8a]),
        1 => Just(0x88),
        1 => any::<u8>(),
    ];
    prop_oneof![
        40 => (first, payload()).prop_map(|(first, payload)| frame(first, &payload)),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        frames in prop::collection::vec(any_frame(), 1..8),
        cuts in prop::collection::vec(1usize..40, 1..10),
        compressing in any::<bool>(),
    ) {
        let offer = if compressing { OFFER } else { "" };
        let bytes = frames.concat();
        let whole = drive(&mut socket(offer), [&bytes[..]]);
        prop_assert_eq!(&whole, &drive(&mut socket(offer), bytes.chunks(1)));
        let mut rest = &bytes[..];
        let pieces = cuts.iter().cycle().map_while(|&cut| {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        });
        let pieces: Vec<_> = pieces.collect();
        prop_assert_eq!(whole, drive(&mut socket(offer), pieces));
    }
}
