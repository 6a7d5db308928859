//! The handlers, by who asks for what.
//!
//! | module | answers |
//! |---|---|
//! | [`runner`] | runners about themselves and their jobs: settings, lists, long polls, heartbeats |
//! | [`executions`] | runners about one execution: claim, plan, status, result, outputs |
//! | [`logs`] | log batches, and what is thrown away (traces, metrics) |
//! | [`submit`], [`operator`] | people and their tools about jobs and runners |
//! | [`stream`] | job logs, as pages and as server-sent events |
//! | [`tokens`], [`health`], [`openapi`] | tokens, probes, the API's own description |
//!
//! [`view`] maps the store's objects to those of the wire; [`path`] reads ids from paths.

pub(crate) mod executions;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod openapi;
pub(crate) mod operator;
pub(crate) mod path;
pub(crate) mod runner;
pub(crate) mod stream;
pub(crate) mod submit;
pub(crate) mod tokens;
pub(crate) mod view;
