//! `build-runner control-plane`: starts the reference control plane, says where it is, and ends it in order.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::{Console, Exit, chain};
use crate::{
    config::{Config, parse_duration},
    server::{Server, ServerOptions},
    shutdown::Signals,
};

#[derive(Debug, Args)]
pub(super) struct ControlPlaneArgs {
    /// Where to listen, over plain HTTP; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080", value_parser = crate::config::parse_address)]
    pub listen: SocketAddr,
    /// Folder with database, plan key and first tokens [default: control-plane below the state folder]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How long an execution lives without a sign of its runner
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = lease)]
    pub lease: Duration,
}

/// Shorter than this, one lost packet ends a healthy execution.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

fn lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text)?;
    if lease < SHORTEST_LEASE { Err("has to be at least 1s".to_owned()) } else { Ok(lease) }
}

/// Serves until a signal: the first lets requests under way finish, the second does not wait for them.
pub(super) async fn control_plane(console: Console, config: &Config, arguments: &ControlPlaneArgs) -> Exit {
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            console.error(format_args!("signal handlers cannot be installed: {error}"));
            return Exit::RunnerFailed;
        }
    };
    let data_dir = arguments.data_dir.clone().unwrap_or_else(|| config.state_dir.join("control-plane"));
    let options = ServerOptions { lease: arguments.lease, ..ServerOptions::new(arguments.listen, &data_dir) };
    let running = match Server::start(options).await {
        Ok(running) => running,
        Err(error) => {
            console.error(chain(&error));
            return Exit::RunnerFailed;
        }
    };
    let (operator, runner) = (data_dir.join("operator.token"), data_dir.join("runner.token"));
    console.line(format_args!("control plane: http://{}, tokens: {} and {}", running.addr, operator.display(), runner.display()));
    if !running.addr.ip().is_loopback() {
        tracing::warn!("tokens and plans travel unencrypted: put a proxy that speaks TLS in front of {}", running.addr);
    }
    let name = signals.next().await;
    console.note(format_args!("{name}: finishing the requests under way; once more aborts"));
    tokio::select! {
        () = running.stop() => Exit::Success,
        _ = signals.next() => Exit::Cancelled,
    }
}
