//! What the black-box tests stand on.
//!
//! | module | gives |
//! |---|---|
//! | [`tools`] | real tools from `$BUILD_RUNNER_TOOLS/bin` (see `scripts/tools`), then from `PATH` |
//! | [`runner`] | the built binary with a home, a state folder and an environment of its own; receipts; spawned runs |
//! | [`registry`] | real registries, plain or with TLS and a password, with their access log |
//! | [`fake_registry`] | a registry in memory that can be told to misbehave |
//! | [`fake_plane`] | a control plane in memory that can be told to misbehave, and remembers what it was sent |
//! | [`builders`] | the tools that build images, on sockets and roots of their own, and sources for them |
//! | [`http_files`] | a static HTTP file server that counts requests |
//! | [`git_server`] | `git http-backend` with a password, faults, and an eye on credentials |
//! | [`plane`] | a real control plane and polling runners, killed and started again at will |
//! | [`proxy`] | a TCP proxy that delays, cuts and stalls |
//! | [`process`] | children that are killed when dropped, and whose lines can be awaited |
//!
//! A test that needs a tool begins with `require_tools!("docker-registry", "helm");`. Where the tool is missing, the test
//! does not run and that is recorded, so that the summary of `scripts/test` counts it; under `CI=true` it fails.

pub(crate) mod builders;
pub(crate) mod fake_plane;
pub(crate) mod fake_registry;
pub(crate) mod git_server;
pub(crate) mod http_files;
pub(crate) mod not_run;
pub(crate) mod plane;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod registry;
pub(crate) mod runner;
pub(crate) mod tls;
pub(crate) mod tools;

/// Returns from the test, recorded as *not run*, unless every tool named is there.
macro_rules! require_tools {
    ($($tool:literal),+ $(,)?) => {
        $(if $crate::support::tools::find($tool).is_none() {
            not_run!("{} is not installed (scripts/tools {})", $tool, $tool);
        })+
    };
}

/// Returns from the test, recorded as *not run* for a reason given like `format!`; panics where `CI` is `true`.
macro_rules! not_run {
    ($($reason:tt)+) => {{
        fn here() {}
        $crate::support::not_run::record(std::any::type_name_of_val(&here), &format!($($reason)+));
        return;
    }};
}
