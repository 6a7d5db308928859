//! The runner's own messages: `tracing` to standard error, as text or JSON lines. Called once, by `cli`.

use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

/// Format of the runner's own messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the subscriber; a second call in one process is ignored.
pub fn init(level: LevelFilter, format: LogFormat) {
    // Libraries are heard one level later than the runner itself: their debug messages may quote requests.
    let libraries = level.min(LevelFilter::WARN);
    let filter = EnvFilter::default().add_directive(libraries.into());
    let filter = match format!("build_runner={level}").parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = match format {
        LogFormat::Text => builder.without_time().try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
