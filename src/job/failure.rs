//! Why an execution failed: a closed kind, whose fault it was, and the evidence.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who has to act on a failure. A user's failing build is a success of the runner: only [`Fault::Agent`] pages anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The plan, the source or the credentials that came with the job.
    User,
    /// This runner or the machine it runs on.
    Agent,
    /// A registry, repository, control plane or network in between.
    External,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = ($text:literal, $fault:ident, $retryable:literal),)+) => {
        /// What went wrong, in terms stable enough for dashboards and retry rules.
        ///
        /// The match behind [`FailureKind::fault`] and [`FailureKind::retryable`] is exhaustive: a new kind has to say both.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum FailureKind {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        impl FailureKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Stable name, used in receipts, on the wire and as metric label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Whose fault a failure of this kind is unless the failure says otherwise.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)+ }
            }

            /// Whether the same job may succeed when tried again with nothing changed.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)+ }
            }
        }
    };
}

kinds! {
    /// The plan cannot be decoded or contradicts itself.
    InvalidPlan = ("InvalidPlan", User, false),
    /// The source was fetched and is not what the plan says it is (a broken chart, a hostile archive).
    InvalidSource = ("InvalidSource", User, false),
    /// The source does not exist: repository, ref, path, chart or tag.
    SourceNotFound = ("SourceNotFound", User, false),
    /// The source cannot be reached just now.
    SourceUnavailable = ("SourceUnavailable", External, true),
    /// No or wrong credentials, or no right to do this.
    AuthDenied = ("AuthDenied", User, false),
    /// Credentials that were good at the start ran out and could not be renewed.
    AuthExpired = ("AuthExpired", External, true),
    /// A registry cannot be reached, throttles or fails.
    RegistryUnavailable = ("RegistryUnavailable", External, true),
    /// A registry answered against its specification, or refused a well-formed request.
    RegistryRefused = ("RegistryRefused", External, false),
    /// Content does not have the digest or size that was promised.
    DigestMismatch = ("DigestMismatch", External, true),
    /// What was to be used is not signed by anybody who is trusted.
    SignatureInvalid = ("SignatureInvalid", User, false),
    /// A tool ran and said no.
    ToolFailed = ("ToolFailed", User, false),
    /// A tool the executor needs is not on this machine.
    ToolMissing = ("ToolMissing", Agent, false),
    /// The work ran out of memory.
    OutOfMemory = ("OutOfMemory", User, false),
    /// No space or inodes left for the work.
    DiskFull = ("DiskFull", Agent, true),
    /// A container image of the work cannot be pulled.
    ImagePull = ("ImagePull", User, true),
    /// No node takes the pod.
    Unschedulable = ("Unschedulable", External, true),
    /// Something else owns the name or the object.
    Conflict = ("Conflict", User, false),
    /// A limit of the runner, of the format or of a consumer is exceeded.
    LimitExceeded = ("LimitExceeded", User, false),
    /// The execution took longer than it may.
    DeadlineExceeded = ("DeadlineExceeded", User, false),
    /// Somebody else owns the job now.
    LeaseLost = ("LeaseLost", External, false),
    /// This build of the runner has no executor for the job type.
    Unsupported = ("Unsupported", Agent, false),
    /// The runner was killed or restarted in the middle of the work.
    Interrupted = ("Interrupted", Agent, true),
    /// Input or output on this machine failed.
    Io = ("Io", Agent, true),
    /// A defect of the runner.
    Internal = ("Internal", Agent, false),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of proof: the end of a tool's output, a registry's answer, a cluster event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Evidence {
    /// Where the line is from: `stderr`, `registry`, `event`, `source` …
    pub from: String,
    /// The line itself, redacted.
    pub text: String,
}

/// A failed execution: the *who* in `kind` and `fault`, the *what* in `message` and `evidence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Failure {
    /// Stable kind.
    pub kind: FailureKind,
    /// Who has to act.
    pub fault: Fault,
    /// Whether trying again unchanged may help.
    pub retryable: bool,
    /// One sentence: what failed, where, and what to do about it.
    pub message: String,
    /// The step that failed (`checkout`, `package`, `push` …); empty until the supervisor fills it in.
    pub step: String,
    /// The tool that failed, when one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool: Option<String>,
    /// The tool's exit code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exit_code: Option<i32>,
    /// Proof, most telling line last.
    pub evidence: Vec<Evidence>,
}

impl Failure {
    /// A failure of `kind` with that kind's usual fault.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            fault: kind.fault(),
            retryable: kind.retryable(),
            message: message.into(),
            step: String::new(),
            tool: None,
            exit_code: None,
            evidence: Vec::new(),
        }
    }

    /// The same failure of that step, unless an inner one named its step already.
    #[must_use]
    pub fn at_step(mut self, step: &str) -> Self {
        if self.step.is_empty() {
            step.clone_into(&mut self.step);
        }
        self
    }

    /// Adds one line of proof.
    #[must_use]
    pub fn with_evidence(mut self, from: &str, text: impl Into<String>) -> Self {
        self.evidence.push(Evidence { from: from.to_owned(), text: text.into() });
        self
    }

    /// Names the tool that failed and how it ended.
    #[must_use]
    pub fn with_tool(mut self, tool: &str, exit_code: Option<i32>) -> Self {
        self.tool = Some(tool.to_owned());
        self.exit_code = exit_code;
        self
    }

    /// Overrides whose fault it was.
    #[must_use]
    pub const fn blame(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// Puts `context: ` in front of the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Every text of the failure, for redaction.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        std::iter::once(&mut self.message).chain(self.evidence.iter_mut().map(|e| &mut e.text))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    /// A full disk is told apart from every other input/output error.
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FailureKind::DiskFull,
            _ => FailureKind::Io,
        };
        Self::new(kind, error.to_string())
    }
}
