//! Records to protobuf.

use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message as _;

use super::attribute;
use crate::{
    logs::{Record, Stream},
    source::LogContext,
};

/// Who sends the logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runner {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Where it sends them: schema URL of the batch.
    pub api_url: String,
    /// Attributes from its settings.
    pub attributes: BTreeMap<String, String>,
}

/// One batch as an `ExportLogsServiceRequest`.
#[must_use]
pub fn encode(runner: &Runner, context: &LogContext, records: &[Record]) -> Vec<u8> {
    let settings = runner.attributes.iter().map(|(key, value)| text(key, value));
    let own = [text("service.name", "runner"), text("runner.id", &runner.id), text("runner.version", &runner.version)];
    let resource = Resource { attributes: settings.chain(own).collect(), ..Resource::default() };
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: runner.version.clone(),
        ..InstrumentationScope::default()
    };
    let log_records = records.iter().map(|record| log_record(context, record)).collect();
    let logs = ScopeLogs { scope: Some(scope), log_records, schema_url: runner.api_url.clone() };
    let resource = ResourceLogs { resource: Some(resource), scope_logs: vec![logs], schema_url: runner.api_url.clone() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
}

/// `bytes` as one gzip member.
///
/// # Errors
/// Never in practice: nothing is written to but memory.
pub fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn log_record(context: &LogContext, record: &Record) -> LogRecord {
    let nanos = u64::try_from(record.time.as_nanosecond()).unwrap_or(0);
    let severity = severity(record.stream);
    let mut attributes = vec![
        text(attribute::JOB, context.job.as_str()),
        text(attribute::JOB_TYPE, &context.job_type),
        text(attribute::LOG_STREAM, &context.stream),
        text(attribute::EXECUTION, context.execution.as_str()),
        attribute(attribute::SEQ, Value::IntValue(i64::try_from(record.seq).unwrap_or(i64::MAX))),
        text(attribute::STREAM, name(record.stream)),
    ];
    if !record.step.is_empty() {
        attributes.push(text(attribute::STEP, &record.step));
    }
    LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        severity_number: severity.into(),
        severity_text: if severity == SeverityNumber::Warn { "WARN" } else { "INFO" }.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(record.text.clone())) }),
        attributes,
        ..LogRecord::default()
    }
}

/// Tools write their progress to standard error: that alone is no warning.
const fn severity(stream: Stream) -> SeverityNumber {
    match stream {
        Stream::Stdout | Stream::Stderr | Stream::Runner => SeverityNumber::Info,
        Stream::Warning | Stream::Gap => SeverityNumber::Warn,
    }
}

/// The stream by its serialised name.
pub(super) const fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::Runner => "runner",
        Stream::Warning => "warning",
        Stream::Gap => "gap",
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
