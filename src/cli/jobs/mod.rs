//! `build-runner jobs`: a control plane, from an operator's terminal.
//!
//! In: job files and ids. Out: on standard output what was asked for and nothing else — jobs as lines or JSON, log lines — and an [`Exit`].
//! Speaks the operator API alone and needs no state folder.

mod args;
mod client;
mod error;
mod follow;
mod show;
mod sse;
mod submit;

use reqwest::Method;
use serde_json::Value;

pub(super) use args::JobsArgs;
use args::{JobsCommand, ListArgs, LogsArgs, OneArgs};
use client::Plane;
use error::Error;

use super::{Console, Exit, args::OutputFormat};
use crate::config::Config;

/// Most jobs asked for with one request.
const PAGE: u32 = 200;

/// Runs one of the commands.
pub(super) async fn jobs(console: Console, config: &Config, arguments: &JobsArgs) -> Exit {
    let work = async {
        let plane = Plane::new(&arguments.plane, config)?;
        match &arguments.command {
            JobsCommand::Submit(arguments) => submit::submit(console, &plane, arguments).await,
            JobsCommand::List(arguments) => list(console, &plane, arguments).await,
            JobsCommand::Show(arguments) => one(console, &plane, arguments, Method::GET, None).await,
            JobsCommand::Logs(arguments) => logs(console, &plane, arguments).await,
            JobsCommand::Cancel(arguments) => one(console, &plane, arguments, Method::POST, Some("cancel")).await,
            JobsCommand::Retry(arguments) => one(console, &plane, arguments, Method::POST, Some("retry")).await,
        }
    };
    work.await.unwrap_or_else(|error| {
        for line in error.to_string().lines() {
            console.error(line);
        }
        error.exit()
    })
}

/// Asks for one page after the other until there are enough.
async fn list(console: Console, plane: &Plane, arguments: &ListArgs) -> Result<Exit, Error> {
    let filters = [("type", &arguments.job_type), ("group", &arguments.group), ("runner_id", &arguments.for_runner)];
    let filters = filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let filters: Vec<_> = filters.chain(arguments.status.iter().map(|status| ("status", status.as_str()))).collect();
    let wanted = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let (mut jobs, mut cursor) = (Vec::new(), arguments.cursor.clone());
    loop {
        let limit = PAGE.min(u32::try_from(wanted - jobs.len()).unwrap_or(PAGE)).to_string();
        let page = plane
            .ask(|| {
                let page_query = [("limit", limit.as_str())].into_iter().chain(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                plane.request(Method::GET, plane.asking(&[], filters.iter().copied().chain(page_query)))
            })
            .await?;
        let Value::Array(more) = page["jobs"].clone() else {
            return Err(Error::Broken(format!("{} answered without a list of jobs", plane.name())));
        };
        let nothing = more.is_empty();
        jobs.extend(more);
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || nothing || jobs.len() >= wanted {
            break;
        }
    }
    match arguments.output.output {
        OutputFormat::Json => console.json(&jobs),
        OutputFormat::Text => jobs.iter().for_each(|job| show::row(console, job)),
    }
    if let Some(cursor) = cursor {
        console.note(format_args!("there are more: --cursor {cursor}"));
    }
    Ok(Exit::Success)
}

/// Shows a job, or asks for something to be done with it and shows it then. Both may be repeated.
async fn one(console: Console, plane: &Plane, arguments: &OneArgs, method: Method, action: Option<&str>) -> Result<Exit, Error> {
    let path: Vec<_> = std::iter::once(arguments.job.as_str()).chain(action).collect();
    let job = plane.ask(|| plane.request(method.clone(), plane.jobs(&path))).await?;
    match (arguments.output.output, action) {
        (OutputFormat::Json, _) => console.json(&job),
        (OutputFormat::Text, None) => show::details(console, &job),
        (OutputFormat::Text, Some(_)) => show::row(console, &job),
    }
    Ok(Exit::Success)
}

async fn logs(console: Console, plane: &Plane, arguments: &LogsArgs) -> Result<Exit, Error> {
    let print = |record: &Value| match arguments.output.output {
        OutputFormat::Json => console.json(record),
        OutputFormat::Text => console.shown(show::text(record, "text")),
    };
    if !arguments.follow {
        follow::all(plane, &arguments.job, print).await?;
        return Ok(Exit::Success);
    }
    let job = follow::follow(console, plane, &arguments.job, print).await?;
    show::end(console, &job);
    Ok(show::exit(&job))
}
