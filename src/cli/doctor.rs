//! `build-runner doctor`: what can run here, what is missing, and how to mend it.

use serde_json::json;

use super::{Console, Exit, args::OutputFormat, supervisor};
use crate::{
    agent::Executors,
    config::Config,
    executor::Readiness,
    workspace::{Minimum, admit},
};

struct Row {
    name: String,
    ready: bool,
    detail: String,
    remedy: String,
}

/// Checks the machine and every executor. Succeeds when the runner itself can work; a job type that is not ready does not fail it.
pub(super) async fn doctor(console: Console, config: &Config, format: OutputFormat) -> Exit {
    let state = state_dir(config);
    let usable = state.ready;
    let mut rows = vec![state];
    for (job_type, readiness) in Executors::new(supervisor::executor_settings(config)).probe().await {
        let name = job_type.to_string();
        rows.push(match readiness {
            Readiness::Ready(detail) => Row { name, ready: true, detail, remedy: String::new() },
            Readiness::NotReady { reason, remedy } => Row { name, ready: false, detail: reason, remedy },
        });
    }
    match format {
        OutputFormat::Json => {
            let rows: Vec<_> =
                rows.iter().map(|row| json!({"name": row.name, "ready": row.ready, "detail": row.detail, "remedy": row.remedy})).collect();
            console.json(&rows);
        }
        OutputFormat::Text => {
            for row in &rows {
                let state = if row.ready { "ready" } else { "NOT READY" };
                let line = format!("{:<28} {state:<10} {}", row.name, row.detail);
                console.line(line.trim_end());
                if !row.remedy.is_empty() {
                    console.line(format_args!("{:<28} {:<10} ► {}", "", "", row.remedy));
                }
            }
        }
    }
    if usable { Exit::Success } else { Exit::RunnerFailed }
}

/// Whether the state folder can be written to and has room for a job.
fn state_dir(config: &Config) -> Row {
    let name = "state folder".to_owned();
    let minimum = Minimum { bytes: config.min_free_disk, inodes: config.min_free_inodes };
    let dir = &config.state_dir;
    let outcome = crate::workspace::open_state(dir).and_then(|()| admit(dir, minimum));
    match outcome {
        Ok(()) => Row { name, ready: true, detail: dir.display().to_string(), remedy: String::new() },
        Err(error) => {
            let remedy = "set --state-dir to a folder on a disk with room that this user may write to".to_owned();
            Row { name, ready: false, detail: error.to_string(), remedy }
        }
    }
}
