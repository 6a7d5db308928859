//! HTTP to registries.

use super::{Error, Settings};

/// Connections, trust and back-off of all registries.
#[derive(Debug)]
pub(super) struct Transport {
    settings: Settings,
}

impl Transport {
    #[expect(clippy::unnecessary_wraps, reason = "the implementation follows")]
    pub(super) const fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self { settings })
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }
}
