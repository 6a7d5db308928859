//! How a command ends, and how it fails.

use std::{fmt, io};

use crate::job::{Failure, FailureKind};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended with code 0.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }

    /// The code; for a signal what a shell would say, 128 + signal.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl From<std::process::ExitStatus> for Exit {
    fn from(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        status.code().map_or_else(|| Self::Signal(status.signal().unwrap_or(0)), Self::Code)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(signal) => write!(f, "signal {signal}"),
                Err(_) => write!(f, "signal {signal}"),
            },
        }
    }
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not on this machine.
    #[error("'{program}' is not installed on this machine: {remedy}")]
    Missing {
        /// Its name.
        program: String,
        /// How to get it.
        remedy: String,
    },
    /// It is there and cannot be started.
    #[error("'{program}' cannot be started: {source}")]
    Spawn {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ran and said no.
    #[error("{program} failed with {exit}")]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        exit: Exit,
        /// Its last lines, redacted, the last one last.
        tail: Vec<String>,
    },
    /// The kernel ended it because there was no memory left.
    #[error("{program} was killed because memory ran out: give the runner more memory or the job less to do at once")]
    OutOfMemory {
        /// Its name.
        program: String,
        /// Its last lines, redacted, the last one last.
        tail: Vec<String>,
    },
    /// It wrote more than the caller can take.
    #[error("{program} wrote more than the {limit} bytes that are read from it")]
    OutputLimit {
        /// Its name.
        program: String,
        /// Bytes that would have been taken.
        limit: usize,
    },
    /// Its pipes or its status could not be read.
    #[error("talking to {program} failed: {source}")]
    Io {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The work was stopped from outside, and the command with it.
    #[error(transparent)]
    Cancelled(#[from] crate::shutdown::Cancelled),
}

impl Error {
    /// Its last lines, redacted; empty unless it ran.
    #[must_use]
    pub fn tail(&self) -> &[String] {
        match self {
            Self::Failed { tail, .. } | Self::OutOfMemory { tail, .. } => tail,
            Self::Missing { .. } | Self::Spawn { .. } | Self::OutputLimit { .. } | Self::Io { .. } | Self::Cancelled(_) => &[],
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = match &error {
            Error::Failed { exit: Exit::Signal(9), .. } => {
                format!("{error}: somebody ended it from outside the job; memory running out is the usual reason")
            }
            Error::Failed { tail, .. } => tail.last().map_or_else(|| error.to_string(), |line| format!("{error}: {line}")),
            _ => error.to_string(),
        };
        let (kind, tool, code) = match &error {
            Error::Missing { program, .. } => (FailureKind::ToolMissing, program, None),
            Error::Spawn { program, source } => match source.kind() {
                io::ErrorKind::OutOfMemory => (FailureKind::OutOfMemory, program, None),
                _ => (FailureKind::Io, program, None),
            },
            Error::Failed { program, exit, .. } => (FailureKind::ToolFailed, program, Some(exit.code())),
            Error::OutOfMemory { program, .. } => (FailureKind::OutOfMemory, program, Some(Exit::Signal(9).code())),
            Error::OutputLimit { program, .. } => (FailureKind::LimitExceeded, program, None),
            Error::Io { program, .. } => (FailureKind::Io, program, None),
            Error::Cancelled(cancelled) => return Self::from(*cancelled),
        };
        error.tail().iter().fold(Self::new(kind, message).with_tool(tool, code), |failure, line| failure.with_evidence("output", line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_tool_carries_its_code_and_last_lines() {
        let error = Error::Failed { program: "helm".into(), exit: Exit::Code(3), tail: vec!["one".into(), "Error: no chart".into()] };
        let failure = Failure::from(error);
        assert_eq!((failure.kind, failure.exit_code), (FailureKind::ToolFailed, Some(3)));
        assert_eq!(failure.message, "helm failed with exit code 3: Error: no chart");
        assert_eq!(failure.evidence.len(), 2);
        assert_eq!(Exit::Signal(15).to_string(), "signal SIGTERM");
    }
}
