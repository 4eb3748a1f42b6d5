//! Help while developing.

use crate::config::definition::{Definition, Kind, Theme};

pub(super) const OPTIONS: &[Definition] = &[Definition::new(
    "py-autoreload",
    Kind::Number {
        least: 0,
        most: 86_400,
        unit: "SECONDS",
    },
    Theme::Development,
    "reload when a source file changes, at most this often; 0 is off; not for production",
)
.aliases(&["py-auto-reload", "python-autoreload", "python-auto-reload"])
.default("0")];
