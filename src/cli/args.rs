//! The command line: commands, their options, and one flag per setting of [`crate::config::SETTINGS`].

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use super::{control_plane::ControlPlaneArgs, jobs::JobsArgs};
use crate::config::SETTINGS;

/// A standalone, pull-based job executor: builds container images, Helm charts, Terraform modules and Kubernetes manifests, and
/// reports the digests of what it pushed.
#[derive(Debug, Parser)]
#[command(name = "build-runner", version, disable_help_subcommand = true, max_term_width = 120)]
pub(super) struct Cli {
    /// TOML file with settings [default: $XDG_CONFIG_HOME/build-runner/config.toml, then /etc/build-runner/config.toml]
    #[arg(long, value_name = "FILE", global = true, env = "BUILD_RUNNER_CONFIG", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub run: RunArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run jobs: from job files, one after the other, or without any those of a control plane
    Run(RunArgs),
    /// Run the reference control plane: the runner API, an operator API, live logs
    ControlPlane(ControlPlaneArgs),
    /// Submit jobs to a control plane and look after them
    Jobs(JobsArgs),
    /// Say which job types can run here, and what is missing for the others
    Doctor(OutputArgs),
    /// Print the JSON Schema of job files
    Schema(SchemaArgs),
    /// Check where an artifact comes from: exits with 0 when its provenance is signed by the key, else with 1
    Verify(VerifyArgs),
    /// Show the key that signs provenance
    Keys(KeysArgs),
    /// Show the settings
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version(OutputArgs),
}

#[derive(Debug, Clone, Default, Args)]
pub(super) struct RunArgs {
    /// Job files, JSON or YAML; '-' reads standard input
    #[arg(long = "job-file", value_name = "FILE", num_args = 1.., action = ArgAction::Append)]
    pub job_files: Vec<PathBuf>,
    /// Where to push instead of where the plan says.
    #[arg(
        long,
        value_name = "WHERE",
        help = "Push there instead of where the plan says: oci-layout:DIR[:TAG] or REGISTRY/REPOSITORY[:TAG]"
    )]
    pub destination: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct OutputArgs {
    /// What standard output carries: text for people, or JSON and nothing else
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: OutputFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Only the schema of jobs of this type
    #[arg(value_name = "TYPE")]
    pub job_type: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The artifact: HOST/REPOSITORY:TAG, HOST/REPOSITORY@DIGEST, or oci-layout:DIR, followed by :TAG or @DIGEST
    #[arg(value_name = "REF")]
    pub reference: String,
    /// PEM file with the public key [default: the runner's own]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum KeysCommand {
    /// Print the public key as PEM, for `cosign verify-attestation --key` and others; makes the key when there is none
    Public,
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print each setting, its value and where the value comes from
    Explain(OutputArgs),
}

/// The whole command, settings included.
pub(super) fn command() -> clap::Command {
    SETTINGS.iter().filter(|setting| setting.has_flag).fold(Cli::command(), |command, setting| {
        let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
        let argument = Arg::new(setting.key)
            .long(setting.flag())
            .help(format!("{}{default} [env: {}]", setting.help, setting.variables().collect::<Vec<_>>().join(", ")))
            .help_heading("Settings")
            .global(true);
        command.arg(match (setting.switch, setting.list) {
            (true, _) => argument.action(ArgAction::SetTrue),
            (false, true) => argument.value_name(setting.value_name).action(ArgAction::Append),
            (false, false) => argument.value_name(setting.value_name).action(ArgAction::Set),
        })
    })
}

/// Understands the command line; the settings are left in the matches for [`flags`].
///
/// # Errors
/// Wrong usage, or a request for help or version.
pub(super) fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<(Cli, ArgMatches), clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let run_options = cli.run.destination.is_some() || !cli.run.job_files.is_empty() || cli.run.output.output != OutputFormat::Text;
    if run_options && cli.command.is_some() {
        let message = "options of 'run' go behind the command: build-runner run --job-file FILE";
        return Err(command().error(clap::error::ErrorKind::ArgumentConflict, message));
    }
    Ok((cli, matches))
}

/// The settings given as flags, by key.
pub(super) fn flags(matches: &ArgMatches) -> std::collections::BTreeMap<String, Vec<String>> {
    // A global flag may stand before or behind the command; clap hands it down to the innermost matches.
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    SETTINGS
        .iter()
        .filter(|setting| setting.has_flag)
        .filter_map(|setting| {
            if setting.switch {
                return innermost.get_flag(setting.key).then(|| (setting.key.to_owned(), vec!["true".to_owned()]));
            }
            let values = innermost.get_many::<String>(setting.key)?;
            Some((setting.key.to_owned(), values.cloned().collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Cli, ArgMatches), clap::Error> {
        parse(line.split(' ').map(Into::into))
    }

    #[test]
    fn the_command_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn run_works_with_and_without_its_name() {
        let (cli, matches) = parsed("build-runner --job-file a.json b.json --state-dir /s").expect("parses");
        assert_eq!(cli.run.job_files.len(), 2);
        assert_eq!(flags(&matches)["state_dir"], ["/s"]);
        let (cli, matches) = parsed("build-runner --state-dir /s run --job-file a --job-file b --output json").expect("parses");
        let Some(Command::Run(run)) = cli.command else { panic!("not run") };
        assert_eq!((run.job_files.len(), run.output.output), (2, OutputFormat::Json));
        assert_eq!(flags(&matches)["state_dir"], ["/s"]);
        assert!(parsed("build-runner --destination x doctor").is_err());
    }

    #[test]
    fn a_switch_takes_no_value_and_stands_anywhere() {
        for line in ["build-runner --no-provenance run --job-file a", "build-runner run --no-provenance --job-file a"] {
            let (_, matches) = parsed(line).expect("parses");
            assert_eq!(flags(&matches)["no_provenance"], ["true"], "{line}");
        }
        let (_, matches) = parsed("build-runner run --job-file a").expect("parses");
        assert!(!flags(&matches).contains_key("no_provenance"));
        assert!(parsed("build-runner run --no-provenance=true --job-file a").is_err());
    }
}
