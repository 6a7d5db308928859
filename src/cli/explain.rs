//! `build-runner config explain`: each setting, its value, and where the value comes from.

use serde_json::json;

use super::{Console, Exit, args::OutputFormat};
use crate::config::Resolved;

/// Prints every setting; secrets are hidden.
pub(super) fn explain(console: Console, resolved: &Resolved, format: OutputFormat) -> Exit {
    match format {
        OutputFormat::Json => {
            let rows: Vec<_> = resolved
                .explain()
                .map(|(setting, value, origin)| json!({"key": setting.key, "value": value, "origin": origin.to_string(), "help": setting.help}))
                .collect();
            console.json(&rows);
        }
        OutputFormat::Text => {
            for (setting, value, origin) in resolved.explain() {
                let shown = if value.is_empty() { "(not set)" } else { &value };
                console.line(format_args!("{:<22} {:<28} {origin}", setting.key, shown));
            }
        }
    }
    Exit::Success
}
