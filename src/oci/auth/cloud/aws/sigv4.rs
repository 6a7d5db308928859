//! AWS Signature Version 4 for the calls made here: `METHOD /` without a query, the payload in the body.
//!
//! In: keys, scope, instant, headers and payload. Out: the headers to add. Pure. Source: "Create a signed AWS API request" of the AWS IAM
//! user guide; the tests are AWS's published test suite.

use aws_lc_rs::hmac;
use jiff::{Timestamp, tz::TimeZone};
use secrecy::ExposeSecret as _;

use super::AwsKeys;
use crate::digest::{Digest, hex};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature is valid for, besides the day.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Scope<'a> {
    pub(in super::super) region: &'a str,
    pub(in super::super) service: &'a str,
}

/// Headers to add to a request that already sends `headers` (lower-case names; `host` is one of them).
pub(in super::super) fn sign(
    keys: &AwsKeys,
    scope: Scope<'_>,
    now: Timestamp,
    method: &str,
    headers: &[(&str, &str)],
    payload: &[u8],
) -> Vec<(&'static str, String)> {
    let instant = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = instant.get(..8).unwrap_or_default();
    let token = keys.session_token.as_ref().map(|token| token.expose_secret().to_owned());
    let mut all: Vec<(&str, String)> = headers.iter().map(|(name, value)| (*name, squeeze(value))).collect();
    all.push(("x-amz-date", instant.clone()));
    if let Some(token) = &token {
        all.push(("x-amz-security-token", token.clone()));
    }
    all.sort_unstable();
    let lines = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect::<Vec<_>>().concat();
    let names = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let request = format!("{method}\n/\n\n{lines}\n{names}\n{}", sha256(payload));
    let credential = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("{ALGORITHM}\n{instant}\n{credential}\n{}", sha256(request.as_bytes()));
    let key = signing_key(keys.secret_access_key.expose_secret(), day, scope);
    let signature = hex(&mac(&key, &to_sign));
    let authorization = format!("{ALGORITHM} Credential={}/{credential}, SignedHeaders={names}, Signature={signature}", keys.access_key_id);
    let mut added = vec![("x-amz-date", instant), ("authorization", authorization)];
    added.extend(token.map(|token| ("x-amz-security-token", token)));
    added
}

/// Runs of blanks count as one.
fn squeeze(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).hex().to_owned()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn signing_key(secret: &str, day: &str, scope: Scope<'_>) -> Vec<u8> {
    [scope.region, scope.service, "aws4_request"]
        .into_iter()
        .fold(mac(format!("AWS4{secret}").as_bytes(), day), |key, part| mac(&key, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// Cases of AWS's `aws-sig-v4-test-suite`, by their names there.
    #[test]
    fn the_published_suite_agrees() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (name, method, header, token, body, signature) in [
            ("get-vanilla", "GET", None, None, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("post-vanilla", "POST", None, None, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "post-header-value-case",
                "POST",
                Some(("my-header1", "VALUE1")),
                None,
                "",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                Some(form),
                None,
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            ("post-sts-header-before", "POST", None, Some(TOKEN), "", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
        ] {
            let keys =
                AwsKeys { access_key_id: "AKIDEXAMPLE".into(), secret_access_key: SECRET.into(), session_token: token.map(Into::into) };
            let headers: Vec<_> = header.into_iter().chain([("host", "example.amazonaws.com")]).collect();
            let now = "2015-08-30T12:36:00Z".parse().unwrap();
            let added = sign(&keys, Scope { region: "us-east-1", service: "service" }, now, method, &headers, body.as_bytes());
            assert_eq!(added[0].1, "20150830T123600Z");
            assert!(
                added[1].1.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=")
            );
            assert!(added[1].1.ends_with(&format!("Signature={signature}")), "{name}: {}", added[1].1);
        }
    }

    /// The derived key of AWS's "examples of how to derive a signing key".
    #[test]
    fn the_published_key_agrees() {
        let key = signing_key(SECRET, "20120215", Scope { region: "us-east-1", service: "iam" });
        assert_eq!(hex(&key), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }
}
