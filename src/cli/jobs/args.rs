//! Command line of `build-runner jobs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::args::OutputArgs;
use crate::job::JobId;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(in crate::cli) struct JobsArgs {
    #[command(flatten)]
    pub plane: PlaneArgs,
    #[command(subcommand)]
    pub command: JobsCommand,
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PlaneArgs {
    /// The control plane.
    #[arg(long, value_name = "URL", global = true, env = "BUILD_RUNNER_SERVER", help = "The control plane, such as http://127.0.0.1:8080")]
    pub server: Option<String>,
    /// File with an operator's token; the control plane writes one to operator.token in its data folder
    #[arg(long, value_name = "FILE", global = true, env = "BUILD_RUNNER_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum JobsCommand {
    /// Submit the jobs of job files; prints each new job's id
    Submit(SubmitArgs),
    /// List jobs, newest first
    List(ListArgs),
    /// Show one job: its status, executions, result and outputs
    Show(OneArgs),
    /// Print a job's log
    Logs(LogsArgs),
    /// Ask for a job to be stopped
    Cancel(OneArgs),
    /// Make a job that is over, and did not succeed, available again
    Retry(OneArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SubmitArgs {
    /// Job files, JSON or YAML; '-' reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Show the logs, wait for the outcomes and exit as `run` does
    #[arg(long)]
    pub wait: bool,
    /// Makes the submission repeatable: the same key never makes a second job [default: a new one]
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// The only runner that may take the jobs
    #[arg(long, value_name = "ID")]
    pub for_runner: Option<String>,
    /// How often a job is tried when its runner vanishes
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_executions: Option<u32>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only jobs with this status; may be repeated
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<String>,
    /// Only jobs of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub job_type: Option<String>,
    /// Only jobs of this group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Only jobs of this runner
    #[arg(long, value_name = "ID")]
    pub for_runner: Option<String>,
    /// Most jobs to list
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OneArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LogsArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Go on until the job is over, and exit as `run` does
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}
