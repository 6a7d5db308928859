//! What the control plane is started with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How to run a control plane.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folder with the database, the plan key and the first tokens; made if it is not there.
    pub data_dir: PathBuf,
    /// How long an execution lives without a sign of its runner.
    pub lease: Duration,
    /// How far requests may go.
    pub limits: Limits,
}

impl ServerOptions {
    /// With a lease of one minute and the usual limits.
    #[must_use]
    pub fn new(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Self {
        Self { listen, data_dir: data_dir.into(), lease: Duration::from_mins(1), limits: Limits::default() }
    }
}

/// How far requests may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time; more wait in the kernel's queue.
    pub connections: usize,
    /// Bytes of a submitted job.
    pub submit: usize,
    /// Bytes of a result, of outputs, and of every other small body.
    pub report: usize,
    /// Bytes of a batch of log records, packed or unpacked.
    pub logs: usize,
    /// How long a request's head, and then its body, may take to arrive.
    pub arrival: Duration,
    /// How long a request for jobs is held at most.
    pub poll: Duration,
    /// Time between two comments on a log stream that is quiet.
    pub keep_alive: Duration,
    /// How long requests under way may take once the control plane was asked to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            submit: 1 << 20,
            report: 4 << 20,
            logs: 16 << 20,
            arrival: Duration::from_secs(30),
            // What the hosted control plane holds.
            poll: Duration::from_secs(25),
            keep_alive: Duration::from_secs(15),
            drain: Duration::from_secs(10),
        }
    }
}
