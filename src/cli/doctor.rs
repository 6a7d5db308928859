//! `build-runner doctor`: what can run here, what is missing, and how to mend it.

use futures_util::future;
use serde::Serialize;

use super::{Console, Exit, args::OutputFormat, supervisor};
use crate::{
    agent::Executors,
    config::Config,
    executor::{Readiness, Tool},
    workspace::{Minimum, admit},
};

/// One thing that was looked at. What scripts read: `kind` and `name` together are unique.
#[derive(Serialize)]
struct Row {
    kind: Kind,
    name: String,
    ready: bool,
    detail: String,
    remedy: String,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Runner,
    JobType,
    Tool,
}

/// Checks the machine, every executor and every tool that one of them may start. Succeeds when the runner itself can work; a job type
/// that is not ready, or a tool that is missing, does not fail it.
pub(super) async fn doctor(console: Console, config: &Config, format: OutputFormat) -> Exit {
    let state = state_dir(config);
    let usable = state.ready;
    let executors = Executors::new(supervisor::executor_settings(config));
    let (job_types, tools) = tokio::join!(executors.probe(), future::join_all(Tool::ALL.iter().map(tool)));
    let job_types = job_types.into_iter().map(|(job_type, readiness)| {
        let (kind, name) = (Kind::JobType, job_type.to_string());
        match readiness {
            Readiness::Ready(detail) => Row { kind, name, ready: true, detail, remedy: String::new() },
            Readiness::NotReady { reason, remedy } => Row { kind, name, ready: false, detail: reason, remedy },
        }
    });
    let rows: Vec<Row> = std::iter::once(state).chain(job_types).chain(tools).collect();
    match format {
        OutputFormat::Json => console.json(&rows),
        OutputFormat::Text => rows.iter().for_each(|row| row.print(console)),
    }
    if usable { Exit::Success } else { Exit::RunnerFailed }
}

impl Row {
    fn print(&self, console: Console) {
        let state = match (self.ready, self.kind) {
            (true, _) => "ready",
            // Nothing is wrong with a machine that lacks a tool nobody wants from it.
            (false, Kind::Tool) => "missing",
            (false, _) => "NOT READY",
        };
        let line = format!("{:<28} {state:<10} {}", self.name, self.detail);
        console.line(line.trim_end());
        if !self.remedy.is_empty() {
            console.line(format_args!("{:<28} {:<10} ► {}", "", "", self.remedy));
        }
    }
}

async fn tool(tool: &Tool) -> Row {
    let (kind, name) = (Kind::Tool, tool.to_string());
    match tool.look().await {
        Ok(found) => {
            let detail = format!("{} ({})", found.version, found.file.display());
            Row { kind, name, ready: true, detail, remedy: String::new() }
        }
        Err(error) => {
            let detail = format!("{error}; needed for {}", tool.purpose);
            Row { kind, name, ready: false, detail, remedy: tool.install.to_owned() }
        }
    }
}

/// Whether the state folder can be written to and has room for a job.
fn state_dir(config: &Config) -> Row {
    let (kind, name) = (Kind::Runner, "state folder".to_owned());
    let minimum = Minimum { bytes: config.min_free_disk, inodes: config.min_free_inodes };
    let dir = &config.state_dir;
    let outcome = crate::workspace::open_state(dir).and_then(|()| admit(dir, minimum));
    match outcome {
        Ok(()) => Row { kind, name, ready: true, detail: dir.display().to_string(), remedy: String::new() },
        Err(error) => {
            let remedy = "set --state-dir to a folder on a disk with room that this user may write to".to_owned();
            Row { kind, name, ready: false, detail: error.to_string(), remedy }
        }
    }
}
