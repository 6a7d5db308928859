//! `build-runner run` without job files: the polling runner, wired together.
//!
//! In: the configuration. Out: an [`Exit`] once the runner has drained. Everything that can be wrong with settings, state folder, journal,
//! admin port and signals is told before the control plane hears of this runner.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Console, Exit, chain, supervisor};
use crate::{
    agent::{Agent, AgentOptions, Drain, Ending, LocalRoots, Stage},
    config::{Config, SETTINGS, Setting},
    job::CancelCause,
    journal::Journal,
    oci, process,
    shutdown::{Cancel, Signals},
    source::{
        Source,
        control_plane::{Client, ClientOptions, TokenSource},
    },
    telemetry::{Admin, Gate, Metrics, Status},
};

/// How long outcomes and logs are waited for when the runner ends; the journal keeps the rest for the next start.
const DELIVERY_BUDGET: Duration = Duration::from_secs(30);

/// Takes jobs from the control plane until a signal ends it.
pub(super) async fn poll(console: Console, config: &Config, environment: &BTreeMap<String, String>) -> Exit {
    let options = match client_options(config) {
        Ok(options) => options,
        Err(problems) => {
            for problem in problems {
                console.error(problem);
            }
            console.note("or run a job file: --job-file FILE (for instance plans/helm-chart-build.json)");
            return Exit::WrongInput;
        }
    };
    let clients = (Client::new(options.clone()), Client::new(options));
    let (source, heart_source) = match clients {
        (Ok(source), Ok(heart_source)) => (Arc::new(source), Arc::new(heart_source)),
        (Err(error), _) | (_, Err(error)) => {
            console.error(chain(&error));
            return Exit::WrongInput;
        }
    };
    let registries = match supervisor::oci_client(config, environment) {
        Ok(client) => client,
        Err(problem) => {
            console.error(problem);
            return Exit::WrongInput;
        }
    };
    match start(config, registries, source, heart_source).await {
        Ok(runner) => runner.run(console).await,
        Err(problem) => {
            console.error(problem);
            Exit::RunnerFailed
        }
    }
}

/// Everything that was acquired and does nothing yet.
struct Runner {
    agent: Agent,
    recovered: Vec<crate::journal::Recovered>,
    drain: Drain,
    signals: Signals,
    admin: Option<Admin>,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
}

async fn start(config: &Config, registries: oci::Client, source: Arc<dyn Source>, heart_source: Arc<dyn Source>) -> Result<Runner, String> {
    let status = Arc::new(Status::new(config.runner_id.as_ref().map_or("", |id| id.as_str()), config.slots));
    let metrics = Arc::new(Metrics::new());
    status.pass(Gate::Validated, "ConfigurationUsable");
    let admin = match config.admin_address {
        Some(address) => Some(Admin::bind(address).await.map_err(|error| error.to_string())?),
        None => None,
    };
    let local_roots = LocalRoots::new(&config.local_roots)?;
    if let Err(error) = process::adopt_orphans() {
        tracing::warn!(%error, "processes that a job leaves behind may not be found");
    }
    // The journal's lock comes before the sweep: another runner of this state folder must keep its workspaces.
    supervisor::open_state(&config.state_dir)?;
    let (journal, recovered) = Journal::open(&config.state_dir).map_err(|error| chain(&error))?;
    let supervisor = supervisor::supervisor(config, registries)?;
    let signals = Signals::install().map_err(|error| format!("signal handlers cannot be installed: {error}"))?;
    let drain = Drain::new();
    let options = AgentOptions {
        source,
        heart_source,
        supervisor: Arc::new(supervisor),
        journal: Arc::new(journal),
        state_dir: config.state_dir.clone(),
        slots: config.slots,
        group_limits: config.group_limits.clone(),
        drain_timeout: config.drain_timeout,
        delivery_budget: DELIVERY_BUDGET,
        local_roots,
        status: Arc::clone(&status),
        metrics: Arc::clone(&metrics),
    };
    Ok(Runner { agent: Agent::new(options, drain.clone()), recovered, drain, signals, admin, status, metrics })
}

impl Runner {
    async fn run(self, console: Console) -> Exit {
        let Self { agent, recovered, drain, signals, admin, status, metrics } = self;
        if let Some(admin) = &admin {
            tracing::info!(address = %admin.address(), "the admin port is served");
        }
        let stop = Cancel::new();
        let aside = async {
            let serve = async {
                if let Some(admin) = admin
                    && let Err(error) = admin.serve(status, metrics, &stop).await
                {
                    tracing::error!(%error, "the admin port is not served any more");
                }
            };
            tokio::join!(serve, obey(console, signals, &drain));
        };
        let ending = tokio::select! {
            ending = agent.run(recovered) => ending,
            () = aside => Ending { unfinished: 0, undelivered: 0 },
        };
        stop.cancel(CancelCause::Shutdown);
        said(console, ending)
    }
}

/// The first signal drains, the second cancels what runs, the third waits for nothing. Never returns.
async fn obey(console: Console, mut signals: Signals, drain: &Drain) {
    loop {
        let name = signals.next().await;
        console.note(match drain.advance() {
            Stage::Open | Stage::Draining => format!("{name}: no new jobs; those that run are left to finish; once more cancels them"),
            Stage::Stopping => format!("{name}: cancelling what runs and reporting it; once more aborts"),
            Stage::Aborted => format!("{name}: aborted; the next start cleans up and reports what is owed"),
        });
    }
}

fn said(console: Console, ending: Ending) -> Exit {
    if ending.undelivered > 0 {
        console
            .note(format_args!("{} outcomes are not delivered yet; the next start with this state folder does that", ending.undelivered));
    }
    if ending.unfinished > 0 { Exit::Cancelled } else { Exit::Success }
}

/// How to reach the control plane, or every setting that is missing.
fn client_options(config: &Config) -> Result<ClientOptions, Vec<String>> {
    let ways = |key: &str| SETTINGS.iter().find(|setting| setting.key == key).map(Setting::ways).unwrap_or_default();
    let mut problems = Vec::new();
    if config.api_url.is_none() {
        problems.push(format!("api_url is not set; give {}", ways("api_url")));
    }
    if config.runner_id.is_none() {
        problems.push(format!("runner_id is not set; give {}", ways("runner_id")));
    }
    // A file can be renewed: it goes before a value.
    let token = match (&config.api_token_file, &config.api_token) {
        (Some(file), _) => Some(TokenSource::File(file.clone())),
        (None, Some(token)) => Some(TokenSource::Inline(token.0.clone())),
        (None, None) => None,
    };
    if token.is_none() {
        problems.push(format!("there is no token for the control plane; give {}, or set {}", ways("api_token_file"), ways("api_token")));
    }
    match (&config.api_url, &config.runner_id, token) {
        (Some(url), Some(runner), Some(token)) if problems.is_empty() => {
            let options = ClientOptions::new(url.clone(), runner.as_str(), token);
            Ok(ClientOptions { ca_file: config.ca_file.clone(), poll_interval: config.poll_interval, ..options })
        }
        _ => Err(problems),
    }
}
