//! Handing over log records: gzip where the plane takes it, and plain from the first refusal on.

use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::CONTENT_ENCODING};

use super::{
    Client,
    answer::Answer,
    otlp,
    transport::{Call, Subject},
    wire::PROTOBUF,
};
use crate::{
    logs::Record,
    source::{Error, LogContext},
};

const UNKNOWN: u8 = 0;
const TAKEN: u8 = 1;
const REFUSED: u8 = 2;

/// Whether the plane reads gzip.
#[derive(Debug, Default)]
pub(super) struct Compression(AtomicU8);

pub(super) async fn send(client: &Client, context: &LogContext, records: &[Record]) -> Result<(), Error> {
    if records.is_empty() || context.stream.is_empty() {
        return Ok(());
    }
    let batch = Bytes::from(otlp::encode(&client.runner(), context, records));
    let call = client.transport.request(Method::POST, Subject::Execution, &["log-streams", &context.stream, "logs"]);
    let call = call.header("content-type", PROTOBUF);
    let state = client.compression.0.load(Ordering::Relaxed);
    let packed = (state != REFUSED).then(|| otlp::gzip(&batch).ok()).flatten();
    let Some(packed) = packed else {
        return client.transport.tell(&with(call, batch)).await;
    };
    let gzipped = with(call.clone(), packed.into()).header(CONTENT_ENCODING.as_str(), "gzip");
    let answer = client.transport.send(&gzipped).await?;
    if answer.status.is_success() {
        answer.taken(&gzipped)?;
        client.compression.0.store(TAKEN, Ordering::Relaxed);
        return Ok(());
    }
    if !may_be_about_gzip(&answer, state) {
        return answer.success(&gzipped).map(drop);
    }
    client.transport.tell(&with(call, batch)).await?;
    tracing::debug!("the control plane does not read gzip: logs are sent as they are");
    client.compression.0.store(REFUSED, Ordering::Relaxed);
    Ok(())
}

fn with(mut call: Call, body: Bytes) -> Call {
    call.body = body;
    call
}

/// Whether the same batch may be taken uncompressed. A plane that decodes the body as it comes fails in its own ways.
fn may_be_about_gzip(answer: &Answer, state: u8) -> bool {
    match answer.status {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::UNPROCESSABLE_ENTITY => true,
        StatusCode::INTERNAL_SERVER_ERROR => state == UNKNOWN,
        _ => false,
    }
}
