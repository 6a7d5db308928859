//! The command line: parses arguments, loads the configuration, wires the modules together and prints.
//!
//! The only module that knows all the others. In: arguments and environment. Out: an [`Exit`].

mod agent;
mod args;
mod console;
mod control_plane;
mod doctor;
mod exit;
mod explain;
mod jobs;
mod keys;
mod receipts;
mod run;
mod supervisor;
mod terminal;
mod verify;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

pub use console::Console;
pub use exit::Exit;

use args::{Cli, Command, ConfigCommand, OutputFormat};

use crate::config::{Config, ConfigError, Layers, load};

/// Runs the command and returns how the process is to end.
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let console = Console;
    let (cli, matches) = match args::parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::WrongInput } else { Exit::Success };
        }
    };
    // Variables that are not UTF-8 cannot be settings of ours.
    let environment: BTreeMap<String, String> =
        environment.into_iter().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    match without_configuration(console, &cli) {
        Some(exit) => exit,
        None => with_configuration(console, cli, args::flags(&matches), &environment),
    }
}

/// The commands that print something fixed.
fn without_configuration(console: Console, cli: &Cli) -> Option<Exit> {
    match cli.command.as_ref()? {
        Command::Version(format) => version(console, format.output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut args::command(), "build-runner", &mut script);
            console.bytes(&script);
        }
        Command::Man => {
            let mut page = Vec::new();
            if clap_mangen::Man::new(args::command()).render(&mut page).is_err() {
                return Some(Exit::RunnerFailed);
            }
            console.bytes(&page);
        }
        Command::Schema(schema) => return Some(print_schema(console, schema.job_type.as_deref())),
        Command::Run(_)
        | Command::ControlPlane(_)
        | Command::Jobs(_)
        | Command::Doctor(_)
        | Command::Config(_)
        | Command::Verify(_)
        | Command::Keys(_) => {
            return None;
        }
    }
    Some(Exit::Success)
}

fn version(console: Console, format: OutputFormat) {
    match format {
        OutputFormat::Text => console.line(format_args!("build-runner {}", env!("CARGO_PKG_VERSION"))),
        OutputFormat::Json => console.json(&serde_json::json!({"name": "build-runner", "version": env!("CARGO_PKG_VERSION")})),
    }
}

fn print_schema(console: Console, job_type: Option<&str>) -> Exit {
    let schema = match job_type.map(str::parse::<crate::job::JobType>).transpose() {
        Ok(job_type) => crate::plan::schema(job_type),
        Err(unknown) => {
            let known: Vec<_> = crate::job::JobType::ALL.iter().map(|t| t.as_str()).collect();
            console.error(format_args!("unknown job type '{unknown}'; one of {}", known.join(", ")));
            return Exit::WrongInput;
        }
    };
    match serde_json::to_string_pretty(&schema) {
        Ok(text) => {
            console.line(text);
            Exit::Success
        }
        Err(error) => {
            console.error(error);
            Exit::RunnerFailed
        }
    }
}

fn with_configuration(console: Console, cli: Cli, flags: BTreeMap<String, Vec<String>>, environment: &BTreeMap<String, String>) -> Exit {
    let resolved = match config_file(cli.config, environment).and_then(|file| {
        let layers = Layers { flags, environment: environment.clone(), file };
        load(&layers)
    }) {
        Ok(resolved) => resolved,
        Err(errors) => return refuse(console, &errors),
    };
    // `config explain` has to work on a configuration that is not usable: it is how one finds out why.
    if let Some(Command::Config(config)) = &cli.command {
        let ConfigCommand::Explain(format) = &config.command;
        return explain::explain(console, &resolved, format.output);
    }
    let config = match Config::new(&resolved) {
        Ok(config) => config,
        Err(errors) => return refuse(console, &errors),
    };
    crate::telemetry::init(config.log_level, config.log_format);
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    let run = match cli.command {
        Some(Command::Doctor(format)) => return block_on(console, Threads::One, doctor::doctor(console, &config, format.output)),
        Some(Command::Verify(arguments)) => {
            return block_on(console, Threads::One, verify::verify(console, &config, environment, &arguments));
        }
        Some(Command::Keys(arguments)) => return keys::keys(console, &config, arguments.command),
        Some(Command::ControlPlane(arguments)) => {
            return block_on(console, Threads::Several, control_plane::control_plane(console, &config, &arguments));
        }
        Some(Command::Jobs(arguments)) => return block_on(console, Threads::One, jobs::jobs(console, &config, &arguments)),
        Some(Command::Run(arguments)) => arguments,
        _ => cli.run,
    };
    if run.job_files.is_empty() {
        if run.destination.is_some() || run.output.output != OutputFormat::Text {
            console.error("--destination and --output go with --job-file: the jobs of a control plane say themselves where they go");
            return Exit::WrongInput;
        }
        return block_on(console, Threads::Several, agent::poll(console, &config, environment));
    }
    block_on(console, Threads::One, run::run(console, &config, environment, &run))
}

/// Threads for asynchronous work, where there are several.
const WORKERS: usize = 4;

/// What the asynchronous work runs on. Files and compression have threads of their own either way.
#[derive(Debug, Clone, Copy)]
enum Threads {
    /// One job at a time, which mostly waits for sockets: a second thread would only have to be woken all the time.
    One,
    /// Many jobs, of which one may hash while the others keep their sockets busy.
    Several,
}

/// Tasks that a single thread runs between two looks at its sockets. Tokio's own 61 would open every connection of a copy before
/// the first of them says a word.
const TASKS_PER_LOOK: u32 = 5;

fn block_on(console: Console, threads: Threads, work: impl Future<Output = Exit>) -> Exit {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Several => tokio::runtime::Builder::new_multi_thread(),
    };
    if matches!(threads, Threads::One) {
        builder.event_interval(TASKS_PER_LOOK);
    }
    let runtime = match builder.worker_threads(WORKERS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console.error(format_args!("the runtime cannot be started: {error}"));
            return Exit::RunnerFailed;
        }
    };
    let exit = runtime.block_on(work);
    // A blocking read that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    exit
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn refuse(console: Console, errors: &[ConfigError]) -> Exit {
    for error in errors {
        console.error(error);
    }
    Exit::WrongInput
}

/// The file named by flag or variable, which has to exist, or the first of the usual places that does.
fn config_file(named: Option<PathBuf>, environment: &BTreeMap<String, String>) -> Result<Option<(PathBuf, String)>, Vec<ConfigError>> {
    let read = |path: PathBuf| match fs_err::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) => Err(vec![ConfigError { place: path.display().to_string(), problem: format!("cannot be read: {}", error.kind()) }]),
    };
    if let Some(path) = named {
        return read(path);
    }
    let home = environment
        .get("XDG_CONFIG_HOME")
        .filter(|dir| dir.starts_with('/'))
        .map(PathBuf::from)
        .or_else(|| environment.get("HOME").map(|home| PathBuf::from(home).join(".config")));
    let places = home.map(|dir| dir.join("build-runner/config.toml")).into_iter().chain([PathBuf::from("/etc/build-runner/config.toml")]);
    places.into_iter().find(|path| path.is_file()).map_or(Ok(None), read)
}
