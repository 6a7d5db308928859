//! `build-runner run --job-file`: every file is read and checked before the first job starts; then one job after the other.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    Console, Exit,
    args::{OutputFormat, RunArgs},
    destination::{self, Destination},
    receipts, terminal,
};
use crate::{
    agent::{Executors, Job, Options, Supervisor},
    config::{Config, Verify},
    job::{CancelCause, JobId, Receipt, ReceiptOutcome},
    logs::{LogPolicy, Progress},
    oci, process,
    shutdown::{Cancel, Signals},
    source::job_file,
    workspace,
};

/// Runs the jobs of the given files.
pub(super) async fn run(console: Console, config: &Config, environment: &BTreeMap<String, String>, arguments: &RunArgs) -> Exit {
    let jobs = match read_jobs(arguments) {
        Ok(jobs) => jobs,
        Err(problems) => {
            for problem in problems {
                console.error(problem);
            }
            return Exit::WrongInput;
        }
    };
    let supervisor = match supervisor(config, environment) {
        Ok(supervisor) => supervisor,
        Err(problem) => {
            console.error(problem);
            return Exit::RunnerFailed;
        }
    };
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            console.error(format_args!("signal handlers cannot be installed: {error}"));
            return Exit::RunnerFailed;
        }
    };
    let cancel = Cancel::new();
    let format = arguments.output.output;
    tokio::select! {
        exit = run_all(console, config, &supervisor, &jobs, &cancel, format) => exit,
        () = obey(console, signals, &cancel) => {
            process::kill_everything();
            Exit::Cancelled
        }
    }
}

/// The first signal cancels the running job and lets it clean up; the second ends the wait.
async fn obey(console: Console, mut signals: Signals, cancel: &Cancel) {
    let name = signals.next().await;
    console.note(format_args!("{name}: cancelling the job and cleaning up; once more aborts at once"));
    cancel.cancel(CancelCause::Requested);
    let name = signals.next().await;
    console.note(format_args!("{name}: aborted; what was left behind is removed at the next start"));
}

async fn run_all(console: Console, config: &Config, supervisor: &Supervisor, jobs: &[Job], cancel: &Cancel, format: OutputFormat) -> Exit {
    let mut exit = Exit::Success;
    for job in jobs {
        let receipt = if cancel.is_cancelled() {
            let now = jiff::Timestamp::now();
            Receipt::new(job.id.clone(), job.job_type.as_str(), now, now, crate::job::Outcome::Cancelled(CancelCause::Requested))
        } else {
            let progress = Progress::default();
            let screen = terminal::Screen::open(job, &progress);
            let receipt = supervisor.run(job, cancel, &progress, screen.sink()).await;
            screen.close(&receipt);
            receipt
        };
        if let Err(error) = receipts::keep(&config.state_dir, &receipt) {
            tracing::warn!(%error, "the receipt could not be kept under the state folder");
        }
        print(console, &receipt, format);
        exit = exit.gravest(Exit::of(receipt.outcome));
    }
    exit
}

/// With JSON the receipt and nothing else; else, for a success, one line that can be pasted.
fn print(console: Console, receipt: &Receipt, format: OutputFormat) {
    match format {
        OutputFormat::Json => console.json(receipt),
        OutputFormat::Text if receipt.outcome == ReceiptOutcome::Succeeded => {
            for artifact in &receipt.outputs.artifacts {
                let tag = if artifact.repository.starts_with('/') { String::new() } else { format!(":{}", artifact.tag) };
                console.line(format_args!("{}{tag}@{}", artifact.repository, artifact.digest));
            }
        }
        OutputFormat::Text => {}
    }
}

/// Reads and checks every job file, and puts the destination in.
fn read_jobs(arguments: &RunArgs) -> Result<Vec<Job>, Vec<String>> {
    if arguments.job_files.is_empty() {
        let hint = "polling a control plane is not supported by this build";
        return Err(vec![format!("no job: give --job-file FILE (for instance plans/helm-chart-build.json); {hint}")]);
    }
    let mut problems = Vec::new();
    let destination = match (&arguments.destination, std::env::current_dir()) {
        (None, _) => None,
        (Some(text), Ok(current_dir)) => destination::parse(text, &current_dir).map_err(|problem| problems.push(problem)).ok(),
        (Some(_), Err(error)) => {
            problems.push(format!("the current folder cannot be told: {error}"));
            None
        }
    };
    let mut jobs: Vec<Job> = Vec::new();
    for path in &arguments.job_files {
        match job_file::read(path) {
            Ok(files) => jobs.extend(files.into_iter().filter_map(|file| {
                let place = file.path.display().to_string();
                to_job(file, destination.as_ref()).map_err(|problem| problems.push(format!("{place}: {problem}"))).ok()
            })),
            Err(errors) => problems.extend(errors.iter().map(ToString::to_string)),
        }
    }
    let mut seen = std::collections::HashSet::new();
    for job in &jobs {
        if !seen.insert(&job.id) {
            problems.push(format!("id: two jobs are called '{}'; ids have to be unique", job.id));
        }
    }
    if problems.is_empty() { Ok(jobs) } else { Err(problems) }
}

fn to_job(file: job_file::JobFile, destination: Option<&Destination>) -> Result<Job, String> {
    let job_type = file.job_type;
    let mut plan = file.plan;
    if let Some(destination) = destination
        && !plan.set_destination(destination.registry.clone(), destination.tag.clone())
    {
        return Err(format!("--destination: a {job_type} job pushes nothing; leave the option out"));
    }
    Ok(Job { id: file.id.unwrap_or_else(JobId::generate), job_type, plan, timeout: file.timeouts.execution, local_base: Some(file.base) })
}

fn supervisor(config: &Config, environment: &BTreeMap<String, String>) -> Result<Supervisor, String> {
    workspace::open_state_dir(&config.state_dir).map_err(|error| {
        format!("state folder {}: {error}; set --state-dir to a folder this user may write to", config.state_dir.display())
    })?;
    for swept in workspace::sweep(&config.state_dir) {
        tracing::info!(workspace = %swept.display(), "removed what a killed runner left behind");
    }
    let settings = oci_settings(config, environment);
    let client = oci::Client::new(settings).map_err(|error| error.to_string())?;
    let options = Options {
        state_dir: config.state_dir.clone(),
        log_policy: LogPolicy { head_bytes: config.job_log_head, tail_bytes: config.job_log_tail, ..LogPolicy::default() },
        execution_timeout: config.execution_timeout,
        kill_grace: config.kill_grace,
        disk: workspace::Limits { min_free_bytes: config.min_free_disk, min_free_inodes: config.min_free_inodes },
    };
    Ok(Supervisor::new(Executors::default(), Arc::new(client), options))
}
