//! Black-box tests of processes, workspaces and logs.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "it/git_local.rs"]
mod git_local;
#[path = "it/process.rs"]
mod process;
