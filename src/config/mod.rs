//! Configuration: flag over environment over TOML file over default, into one typed [`Config`].
//!
//! Everything hangs on one table, [`setting::SETTINGS`]: a key `log_level` is the flag `--log-level`, the variable
//! `BUILD_RUNNER_LOG_LEVEL` and the TOML key `log_level`. Every mistake is collected; loading fails once, with all of them.
//! Called by `cli` alone; the modules below get the values they need, not the configuration.

mod load;
mod parse;
mod setting;
mod typed;

pub use load::{Layers, Origin, Resolved, load};
pub use parse::{parse_bytes, parse_duration};
pub use setting::{SETTINGS, Setting};
pub use typed::{Config, HostSettings, Token, parse_address};

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it was set: `flag --x`, `environment X`, `file.toml:3`.
    pub place: String,
    /// What is wrong and what to do about it. Never holds the value of a secret.
    pub problem: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}
