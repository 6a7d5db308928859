//! `build-runner run --job-file`: every file is read and checked before the first job starts; then one job after the other.

use std::collections::BTreeMap;

use super::{
    Console, Exit,
    args::{OutputFormat, RunArgs},
    receipts, supervisor, terminal,
};
use crate::{
    agent::{Attempt, Job, Logging, Supervisor, Unkept},
    config::Config,
    job::{CancelCause, ExecutionId, JobId, Receipt, ReceiptOutcome},
    logs::Progress,
    oci,
    plan::{GoDuration, Registry, RegistryType},
    process,
    shutdown::{Cancel, Signals},
    source::job_file::{self, JobFile},
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
    let client = match supervisor::oci_client(config, environment) {
        Ok(client) => client,
        Err(problem) => {
            console.error(problem);
            return Exit::WrongInput;
        }
    };
    if let Err(error) = process::adopt_orphans() {
        tracing::warn!(%error, "processes that a job leaves behind may not be found");
    }
    let supervisor = match supervisor::supervisor(config, client) {
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
        // Dropping the jobs where they stand kills their processes.
        () = obey(console, signals, &cancel) => Exit::Cancelled,
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
            let execution = ExecutionId::generate();
            let logging = Logging::InWorkspace(screen.sink());
            let attempt = Attempt { job, execution: &execution, cancel, progress: &progress, logging, ledger: &Unkept };
            let receipt = supervisor.run(attempt).await;
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
    let mut problems = Vec::new();
    let destination = arguments.destination.as_deref().map(destination).transpose().unwrap_or_else(|problem| {
        problems.push(format!("--destination: {problem}"));
        None
    });
    let files = job_file::read_all(&arguments.job_files).unwrap_or_else(|rejected| {
        problems.extend(rejected.iter().map(ToString::to_string));
        Vec::new()
    });
    let mut jobs = Vec::with_capacity(files.len());
    for mut file in files {
        if let Some((registry, tag)) = &destination
            && !file.plan.set_destination(registry.clone(), tag.clone())
        {
            problems.push(format!("{}: --destination: {} jobs push nothing; leave the option out", file.path.display(), file.job_type));
        }
        if let Err(rejected) = file.check_destination() {
            problems.extend(rejected.iter().map(ToString::to_string));
        }
        jobs.push(to_job(file));
    }
    if problems.is_empty() { Ok(jobs) } else { Err(problems) }
}

/// `--destination` as the registry object of a plan, and its tag.
fn destination(text: &str) -> Result<(Registry, Option<String>), String> {
    let current_dir = std::env::current_dir().map_err(|error| format!("the current folder cannot be told: {error}"))?;
    let (location, tag) = oci::Location::parse_destination(text, &current_dir).map_err(|error| error.to_string())?;
    let registry = match location {
        oci::Location::Registry { host, repository, .. } => Registry::new(RegistryType::PrivateOci, format!("{host}/{repository}")),
        oci::Location::Layout { path } => Registry::new(RegistryType::OciLayout, path.display().to_string()),
    };
    Ok((registry, tag))
}

fn to_job(file: JobFile) -> Job {
    Job {
        id: file.id.unwrap_or_else(JobId::generate),
        job_type: file.job_type,
        plan: file.plan,
        timeout: file.timeouts.execution.map(GoDuration::get),
        secrets: file.secrets,
        local_base: Some(file.base),
    }
}
