//! A job's log: in pages, or followed as server-sent events.
//!
//! A record's place in the log is its cursor, over all executions, without holes; whoever has read up to one goes on after it, after any
//! break. The stream looks again when the bell of the job rings, never by a timer, and ends when the job is over and all of its log was sent.
//! A control plane that stops ends its streams with a comment; clients come back with their `Last-Event-ID`.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{path::Ids, view::JobView};
use crate::{
    job::{ExecutionId, JobId},
    logs::Stream as LogStream,
    server::{
        auth::Operator,
        error::{ErrorBody, Refusal},
        query::Query,
        state::{Plane, Shared},
        store::{Bell, Error, StoredRecord},
    },
};

/// Records in one page when nobody says, and at most.
const PAGE: (usize, usize) = (1000, 5000);
/// Records that a stream takes out of the store at once.
const PIECE: usize = 500;

/// A line of a job's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordView {
    /// Its place in the job's log, from 1: the cursor to go on after it.
    seq: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// `stdout`, `stderr`, `runner`, `warning` or `gap`.
    #[schema(value_type = String, example = "stdout")]
    stream: LogStream,
    /// The step under way; may be empty.
    step: String,
    /// The line.
    text: String,
    /// Whose line.
    #[schema(value_type = String)]
    execution_id: ExecutionId,
}

/// A page of a job's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogView {
    /// The lines.
    records: Vec<RecordView>,
    /// What to give as `after` to go on.
    next: u64,
    /// Whether nothing comes after these.
    end: bool,
}

impl From<StoredRecord> for RecordView {
    fn from(stored: StoredRecord) -> Self {
        let record = stored.record;
        Self {
            seq: stored.position,
            time: record.time,
            stream: record.stream,
            step: record.step,
            text: record.text,
            execution_id: stored.execution,
        }
    }
}

/// The log of a job: a page of it, or with `Accept: text/event-stream` all of it, live.
///
/// Events: `record` (id: the cursor, data: the record) and at the end `end` (data: the job). A stream that was cut goes on after
/// `Last-Event-ID` or `after`.
#[utoipa::path(get, path = "/v1/jobs/{job_id}/logs", tag = "operator", security(("token" = [])),
    params(("job_id" = String, Path), ("after" = Option<u64>, Query, description = "Go on after this cursor."),
        ("limit" = Option<u32>, Query, description = "Most records in the page; 1000 when absent."),
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`, and before it.")),
    responses((status = 200, content((LogView = "application/json"), (String = "text/event-stream"))), (status = "default", body = ErrorBody)))]
pub(crate) async fn logs(
    _: Operator,
    State(plane): Shared,
    Ids(job): Ids<JobId>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = query.read::<u64>("after", "a cursor: the seq of a record, or next of a page")?.unwrap_or(0);
    if !wants_events(&headers) {
        let page = plane.store.log(&job, after, query.limit(PAGE.0, PAGE.1)?).await?;
        let records = page.records.into_iter().map(RecordView::from).collect();
        return Ok(Json(LogView { records, next: page.next, end: page.end }).into_response());
    }
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().trim().parse::<u64>());
    let last = last.transpose().map_err(|_| Refusal::malformed("the header Last-Event-ID has to be the id of a record event"))?;
    // Asked once before the stream begins, so that a job that is not there is a 404.
    plane.store.log(&job, u64::MAX >> 1, 1).await?;
    let keep_alive = KeepAlive::new().interval(plane.limits.keep_alive).text("still here");
    let events = follow(Arc::clone(&plane), job, last.unwrap_or(after));
    Ok(([(header::CACHE_CONTROL, "no-store")], Sse::new(events).keep_alive(keep_alive)).into_response())
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream"))
}

/// A stream in the making.
struct Follow {
    plane: Arc<Plane>,
    job: JobId,
    bell: Bell,
    after: u64,
    waiting: VecDeque<StoredRecord>,
    state: Reading,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// There may be more.
    On,
    /// All of it was read; the end is not told yet.
    Read,
    /// The end was told.
    Told,
}

fn follow(plane: Arc<Plane>, job: JobId, after: u64) -> impl Stream<Item = Result<Event, Infallible>> {
    let bell = plane.store.bells().job(&job);
    let follow = Follow { plane, job, bell, after, waiting: VecDeque::new(), state: Reading::On };
    stream::unfold(follow, |mut follow| async move { follow.next().await.map(|event| (Ok(event), follow)) })
}

impl Follow {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                return Some(event(record));
            }
            match self.state {
                Reading::On => {}
                Reading::Read => {
                    self.state = Reading::Told;
                    return Some(self.end().await);
                }
                Reading::Told => return None,
            }
            if let Err(reason) = self.read().await {
                self.state = Reading::Told;
                return Some(Event::default().comment(reason));
            }
        }
    }

    /// Takes what there is, or waits until there may be something; an error is what to say before the stream is cut.
    async fn read(&mut self) -> Result<(), &'static str> {
        let page = self.plane.store.log(&self.job, self.after, PIECE).await.map_err(|error| said(&error))?;
        self.after = page.next;
        self.waiting.extend(page.records);
        if page.end {
            self.state = Reading::Read;
        } else if self.waiting.is_empty() {
            tokio::select! {
                biased;
                () = self.plane.stop.cancelled() => return Err("the control plane is stopping; come back with Last-Event-ID"),
                () = self.bell.rung() => {}
            }
        }
        Ok(())
    }

    async fn end(&self) -> Event {
        match self.plane.store.job(&self.job).await {
            Ok(detail) => {
                let event = Event::default().event("end");
                event.json_data(JobView::from(detail)).unwrap_or_else(|_| Event::default().event("end").data("{}"))
            }
            Err(error) => Event::default().comment(said(&error)),
        }
    }
}

/// Why a stream is cut: a word for people; the log has the error itself.
fn said(error: &Error) -> &'static str {
    tracing::warn!(%error, "a log stream is cut");
    "the log cannot be read at the moment; come back with Last-Event-ID"
}

fn event(record: StoredRecord) -> Event {
    let id = record.position.to_string();
    let record = RecordView::from(record);
    match Event::default().event("record").id(&id).json_data(record) {
        Ok(event) => event,
        // A record is text and numbers: there is nothing in it that JSON cannot say.
        Err(_) => Event::default().comment("a record cannot be shown").id(id),
    }
}
