//! [`Agreement`]: which of a client's offers is accepted, and how that is said (RFC 7692 §5.1, §7.1).

use super::DeflateSettings;
use crate::extension::Extension;

/// What both sides keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) server_takeover: bool,
    pub(crate) client_takeover: bool,
    pub(crate) server_window_bits: u8,
    pub(crate) client_window_bits: u8,
}

/// What one offer says.
#[derive(Debug, Default)]
struct Offer {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_window_bits: Option<u8>,
    /// `Some(None)`: the client lets itself be told.
    client_window_bits: Option<Option<u8>>,
}

impl Agreement {
    /// The first of `offers` that can be accepted.
    pub(crate) fn reach(offers: &[Extension], settings: &DeflateSettings) -> Option<Self> {
        let offers = offers.iter().filter(|offer| offer.name == "permessage-deflate");
        offers
            .filter_map(Offer::parse)
            .find_map(|offer| offer.accept(settings))
    }

    /// The value of Sec-WebSocket-Extensions that says so.
    pub(crate) fn answer(self) -> String {
        let mut answer = "permessage-deflate".to_owned();
        if !self.server_takeover {
            answer += "; server_no_context_takeover";
        }
        if !self.client_takeover {
            answer += "; client_no_context_takeover";
        }
        if self.server_window_bits < 15 {
            answer += &format!("; server_max_window_bits={}", self.server_window_bits);
        }
        if self.client_window_bits < 15 {
            answer += &format!("; client_max_window_bits={}", self.client_window_bits);
        }
        answer
    }
}

impl Offer {
    /// `None` for one that must be declined: with a parameter that is unknown, there twice, or has no such value
    /// (RFC 7692 §7.1).
    fn parse(offer: &Extension) -> Option<Self> {
        let mut terms = Self::default();
        for (name, value) in &offer.parameters {
            let is_first = match (&name[..], value.as_deref()) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut terms.server_no_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut terms.client_no_takeover, true)
                }
                ("server_max_window_bits", Some(bits)) => {
                    terms.server_window_bits.replace(window_bits(bits)?).is_none()
                }
                ("client_max_window_bits", None) => terms.client_window_bits.replace(None).is_none(),
                ("client_max_window_bits", Some(bits)) => terms
                    .client_window_bits
                    .replace(Some(window_bits(bits)?))
                    .is_none(),
                _ => return None,
            };
            if !is_first {
                return None;
            }
        }
        Some(terms)
    }

    fn accept(&self, settings: &DeflateSettings) -> Option<Agreement> {
        let own = settings.server_window_bits.clamp(9, 15);
        let server_window_bits = own.min(self.server_window_bits.unwrap_or(15));
        // Compressors of zlib's family have no window of 256 bytes.
        if server_window_bits < 9 {
            return None;
        }
        let client_window_bits = match self.client_window_bits {
            Some(offered) => settings
                .client_window_bits
                .clamp(8, 15)
                .min(offered.unwrap_or(15)),
            None => 15,
        };
        Some(Agreement {
            server_takeover: settings.server_takeover && !self.server_no_takeover,
            client_takeover: settings.client_takeover && !self.client_no_takeover,
            server_window_bits,
            client_window_bits,
        })
    }
}

/// 8 to 15, without leading zeros (RFC 7692 §7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15" => value.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension;

    /// The answer to what a client offers; empty: declined.
    fn answer(offers: &str, settings: &DeflateSettings) -> String {
        let offers = extension::parse(offers.as_bytes()).unwrap();
        Agreement::reach(&offers, settings)
            .map(Agreement::answer)
            .unwrap_or_default()
    }

    #[test]
    fn what_a_client_asks_for_is_answered() {
        for (offers, expected) in [
            ("permessage-deflate", ""),
            (
                "permessage-deflate; client_max_window_bits",
                "; client_max_window_bits=12",
            ),
            (
                "permessage-deflate; client_max_window_bits=15",
                "; client_max_window_bits=12",
            ),
            (
                "permessage-deflate; client_max_window_bits=10",
                "; client_max_window_bits=10",
            ),
            (
                "permessage-deflate; client_max_window_bits=8",
                "; client_max_window_bits=8",
            ),
            ("permessage-deflate; server_max_window_bits=15", ""),
            (
                "permessage-deflate; server_max_window_bits=9",
                "; server_max_window_bits=9",
            ),
            (
                "permessage-deflate; server_max_window_bits=\"10\"",
                "; server_max_window_bits=10",
            ),
            (
                "permessage-deflate; server_no_context_takeover",
                "; server_no_context_takeover",
            ),
            (
                "permessage-deflate; client_no_context_takeover",
                "; client_no_context_takeover",
            ),
            (
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=11; \
                 server_no_context_takeover; client_max_window_bits",
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; \
                 client_max_window_bits=12",
            ),
            ("x-other, permessage-deflate", ""),
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate",
                "",
            ),
            (
                "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=9",
                "; server_max_window_bits=9",
            ),
        ] {
            let expected = format!("permessage-deflate{expected}");
            assert_eq!(answer(offers, &DeflateSettings::default()), expected, "{offers}");
        }
    }

    #[test]
    fn what_can_not_be_kept_is_declined() {
        for offers in [
            "",
            "x-webkit-deflate-frame",
            "Permessage-Deflate",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(answer(offers, &DeflateSettings::default()), "", "{offers}");
        }
    }

    #[test]
    fn a_server_may_ask_for_what_the_client_did_not_offer() {
        let settings = DeflateSettings {
            server_takeover: false,
            client_takeover: false,
            server_window_bits: 10,
            client_window_bits: 10,
            ..DeflateSettings::default()
        };
        assert_eq!(
            answer("permessage-deflate", &settings),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=10",
            "but not for a window, of which a client may know nothing"
        );
    }
}
