//! A job's log: what there is of it, or live until the job is over.
//!
//! A stream that breaks is taken up again behind the last record that arrived, so that every record is shown exactly once.

use std::time::Duration;

use reqwest::{Method, header::ACCEPT};
use serde_json::Value;

use super::{
    client::Plane,
    error::Error,
    sse::{Event, Parser},
};
use crate::{cli::Console, job::JobId, retry::Advice};

/// Records asked for at once.
const PAGE: &str = "1000";
/// A stream that says nothing for so long is dead: the control plane sends a comment every 15 s.
const SILENCE: Duration = Duration::from_mins(1);
/// First and longest wait before a broken stream is taken up again, and for how long that is tried in vain.
const WAIT: (Duration, Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10), Duration::from_mins(10));

/// Gives every record that is there now.
pub(super) async fn all(plane: &Plane, job: &JobId, mut show: impl FnMut(&Value)) -> Result<(), Error> {
    let mut after: Option<String> = None;
    loop {
        let page = plane
            .ask(|| {
                let query = [("limit", PAGE)].into_iter().chain(after.as_deref().map(|after| ("after", after)));
                plane.request(Method::GET, plane.asking(&[job.as_str(), "logs"], query))
            })
            .await?;
        let records = page["records"].as_array().map(Vec::as_slice).unwrap_or_default();
        records.iter().for_each(&mut show);
        let next = match &page["next"] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        if records.is_empty() || page["end"] == true || next.is_none() || next == after {
            return Ok(());
        }
        after = next;
    }
}

/// Gives every record as it comes, and the job when it is over.
pub(super) async fn follow(console: Console, plane: &Plane, job: &JobId, mut show: impl FnMut(&Value)) -> Result<Value, Error> {
    let (first_wait, longest_wait, give_up) = WAIT;
    let (mut cursor, mut wait, mut broken_since) = (None, first_wait, None);
    loop {
        let before = cursor.clone();
        let error = match stream(plane, job, &mut cursor, &mut show).await {
            Ok(job) => return Ok(job),
            Err(error) => error,
        };
        if cursor != before {
            (wait, broken_since) = (first_wait, None);
        }
        let since = *broken_since.get_or_insert_with(tokio::time::Instant::now);
        if error.advice() == Advice::GiveUp || since.elapsed() > give_up {
            return Err(error);
        }
        // Nobody wants to hear of the short break that a restart or a proxy makes.
        if wait > first_wait {
            console.note(format_args!("{error}; trying again in {} s", wait.as_secs().max(1)));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest_wait);
    }
}

/// One stream, from behind `cursor` to its end.
async fn stream(plane: &Plane, job: &JobId, cursor: &mut Option<String>, show: &mut impl FnMut(&Value)) -> Result<Value, Error> {
    let request = plane.request(Method::GET, plane.jobs(&[job.as_str(), "logs"])).header(ACCEPT, "text/event-stream");
    let request = cursor.iter().fold(request, |request, cursor| request.header("last-event-id", cursor));
    let late = || Error::Broken(format!("{} said nothing for {} s", plane.name(), SILENCE.as_secs()));
    let mut response = tokio::time::timeout(SILENCE, plane.send(request)).await.map_err(|_| late())??;
    let mut parser = Parser::default();
    loop {
        let piece = tokio::time::timeout(SILENCE, response.chunk()).await.map_err(|_| late())?;
        let Some(piece) = piece.map_err(|error| plane.unreachable(&error))? else {
            return Err(Error::Broken(format!("{} ended the log before the job was over", plane.name())));
        };
        let too_long = |_| Error::Broken(format!("{} sent an event that is too long", plane.name()));
        for event in parser.push(&piece).map_err(too_long)? {
            if let Some(job) = take(plane, event, cursor, show)? {
                return Ok(job);
            }
        }
    }
}

fn take(plane: &Plane, event: Event, cursor: &mut Option<String>, show: &mut impl FnMut(&Value)) -> Result<Option<Value>, Error> {
    let json = || serde_json::from_str(&event.data).map_err(|_| Error::Broken(format!("{} sent an event that is not JSON", plane.name())));
    match event.name.as_str() {
        "record" => {
            show(&json()?);
            *cursor = event.id.or(cursor.take());
            Ok(None)
        }
        "end" => json().map(Some),
        _ => Ok(None),
    }
}
