//! What a token service's error answer means: AWS JSON 1.1 and XML, OAuth 2 (RFC 6749 §5.2), Google's and the distribution spec's.
//!
//! In: status and body. Out: the [`CloudError`], with at most the code and the first line of the message, redacted. AWS answers a wrong
//! signature with the whole canonical request, session token included: nothing after the first line is ever used.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::{CloudError, xml};
use crate::logs::JobLog;

const MAX_DETAIL: usize = 300;

/// The error of an answer without success.
pub(super) fn failure(service: String, status: StatusCode, retry_after: Option<Duration>, body: &[u8], log: &JobLog) -> CloudError {
    let (code, message) = parse(body);
    let detail = detail(&code, &message, status, log);
    let status = status.as_u16();
    if matches!(status, 408 | 429 | 500..=599) || throttled(&code) {
        return CloudError::Unavailable { service, reason: format!("it answered {status} ({detail})"), retry_after };
    }
    if matches!(code.as_str(), "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "RequestTimeTooSkewed") {
        return CloudError::Expired { service, detail };
    }
    if matches!(status, 401 | 403) || denied(&code) {
        return CloudError::Denied { service, detail };
    }
    CloudError::Refused { service, status, detail }
}

/// AWS throttles with status 400.
fn throttled(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "RequestThrottled"
            | "InternalFailure"
            | "ServerException"
            | "ServiceUnavailable"
            | "IDPCommunicationError"
            | "temporarily_unavailable"
    )
}

/// AWS and OAuth 2 say no with status 400 as well.
fn denied(code: &str) -> bool {
    matches!(
        code,
        "AccessDenied"
            | "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "InvalidIdentityToken"
            | "IDPRejectedClaim"
            | "invalid_client"
            | "invalid_grant"
            | "unauthorized_client"
            | "access_denied"
            | "invalid_target"
    )
}

fn detail(code: &str, message: &str, status: StatusCode, log: &JobLog) -> String {
    let line = log.redact(message.lines().next().unwrap_or_default().trim());
    let line: String = line.chars().filter(|c| !c.is_control()).take(MAX_DETAIL).collect();
    match (code.is_empty(), line.is_empty()) {
        (false, false) => format!("{code}: {line}"),
        (false, true) => code.to_owned(),
        (true, false) => line,
        (true, true) => status.canonical_reason().unwrap_or("no reason given").to_owned(),
    }
}

/// Code and message; empty where there is none. Codes are names; anything else in their place is dropped.
fn parse(body: &[u8]) -> (String, String) {
    let (code, message) = match serde_json::from_slice::<Value>(body) {
        Ok(value) => json(&value),
        Err(_) => std::str::from_utf8(body).map(xml_error).unwrap_or_default(),
    };
    let name = code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    (if name { code } else { String::new() }, message)
}

fn json(value: &Value) -> (String, String) {
    let text = |value: &Value, names: &[&str]| names.iter().find_map(|name| value.get(name)?.as_str()).unwrap_or_default().to_owned();
    if let Some(first) = value.pointer("/errors/0") {
        return (text(first, &["code"]), text(first, &["message"]));
    }
    if let Some(error) = value.get("error").filter(|error| error.is_object()) {
        return (text(error, &["status", "code"]), text(error, &["message"]));
    }
    let code = text(value, &["__type", "error", "code", "Code"]);
    // `com.amazonaws.ecr#AccessDeniedException`: the name is what follows the hash.
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    (code, text(value, &["message", "Message", "error_description"]))
}

fn xml_error(body: &str) -> (String, String) {
    (xml::text(body, "Code").unwrap_or_default(), xml::text(body, "Message").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> CloudError {
        failure("S".to_owned(), StatusCode::from_u16(status).unwrap(), None, body.as_bytes(), &JobLog::discard())
    }

    #[test]
    fn every_dialect_is_understood() {
        for (status, body, expected) in [
            (
                400,
                r#"{"__type":"com.amazonaws.ecr#AccessDeniedException","message":"not you"}"#,
                "S denies the request: AccessDeniedException: not you",
            ),
            (
                403,
                "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no &amp; no</Message></Error></ErrorResponse>",
                "S denies the request: AccessDenied: no & no",
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"AADSTS70043: over\r\nTrace ID: x"}"#,
                "S denies the request: invalid_grant: AADSTS70043: over",
            ),
            (
                404,
                r#"{"error":{"code":404,"status":"NOT_FOUND","message":"no such account"}}"#,
                "S answered 404: NOT_FOUND: no such account",
            ),
            (401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}"#, "S denies the request: UNAUTHORIZED: who?"),
            (502, "<html><h1>Bad gateway</h1></html>", "S is not available: it answered 502 (Bad Gateway)"),
            (400, r#"{"__type":"ThrottlingException"}"#, "S is not available: it answered 400 (ThrottlingException)"),
        ] {
            assert_eq!(of(status, body).to_string(), expected);
        }
        assert!(matches!(of(400, r#"{"__type":"ExpiredTokenException"}"#), CloudError::Expired { .. }));
    }

    #[test]
    fn a_canonical_request_is_never_quoted() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.\n\nx-amz-security-token:SECRET</Message></Error>";
        assert_eq!(of(403, body).to_string(), "S denies the request: SignatureDoesNotMatch: The signature does not match.");
    }
}
