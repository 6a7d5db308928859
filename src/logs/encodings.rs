//! The forms in which a secret shows up in logs: encoded, escaped, quoted, line by line.

use std::fmt::Write as _;

use base64::{
    Engine as _,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Shortest text that is hidden: anything shorter would black out half of every log.
pub(super) const SHORTEST: usize = 4;
/// Shortest line of a secret of several lines that is hidden by itself.
const SHORTEST_LINE: usize = 8;
/// Longest secret whose encodings are looked for; of a longer one only the text itself and its lines.
const LONGEST_ENCODED: usize = 8 << 10;

/// What RFC 3986 calls unreserved stays.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What `encodeURIComponent` (ECMA-262) leaves alone stays.
const COMPONENT: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
/// What the URL standard's user-info percent-encode set leaves alone stays.
const USER_INFO: &AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'=')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'|');

/// Every form of `secret` that is to be hidden, sorted, none shorter than [`SHORTEST`]; empty when the secret itself is too short.
pub(super) fn forms(secret: &str) -> Vec<Vec<u8>> {
    let trimmed = secret.trim();
    if trimmed.len() < SHORTEST {
        return Vec::new();
    }
    let mut forms = vec![trimmed.as_bytes().to_vec()];
    let lines: Vec<&str> = trimmed.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE).collect();
    if trimmed.contains('\n') {
        forms.push(trimmed.replace("\r\n", "\n").into_bytes());
        forms.extend(lines.iter().map(|line| line.as_bytes().to_vec()));
    }
    if trimmed.len() <= LONGEST_ENCODED {
        encoded(trimmed, &mut forms);
        // A file's last line break is usually part of what gets encoded.
        base64_whole(format!("{trimmed}\n").as_bytes(), &mut forms);
        if secret != trimmed {
            base64_whole(secret.as_bytes(), &mut forms);
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// `user:secret` as the header `Authorization: Basic` carries it (RFC 7617).
pub(super) fn basic(user: &str, secret: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    base64_whole(format!("{user}:{secret}").as_bytes(), &mut forms);
    forms
}

fn encoded(secret: &str, forms: &mut Vec<Vec<u8>>) {
    let bytes = secret.as_bytes();
    base64_whole(bytes, forms);
    base64_inside(bytes, forms);
    for set in [NON_ALPHANUMERIC, UNRESERVED, COMPONENT, USER_INFO] {
        let upper = percent_encode(bytes, set).to_string();
        forms.push(lower_case_escapes(&upper).into_bytes());
        // application/x-www-form-urlencoded
        forms.push(upper.replace("%20", "+").into_bytes());
        forms.push(upper.into_bytes());
    }
    let hex = crate::digest::hex(bytes);
    forms.push(hex.to_ascii_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    json(secret, forms);
    // Inside single quotes of a shell; `printf %q`; XML.
    forms.push(secret.replace('\'', r"'\''").into_bytes());
    forms.push(secret.replace('\'', r#"'"'"'"#).into_bytes());
    forms.push(backslashed(secret).into_bytes());
    let xml = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    forms.push(xml.replace('"', "&quot;").replace('\'', "&apos;").into_bytes());
    forms.push(xml.replace('"', "&#34;").replace('\'', "&#39;").into_bytes());
    forms.push(xml.into_bytes());
}

fn engine(alphabet: &Alphabet, padding: bool) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_encode_padding(padding).with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

/// `bytes` encoded by themselves, with and without padding; also the lines that tools wrap them into.
fn base64_whole(bytes: &[u8], forms: &mut Vec<Vec<u8>>) {
    for alphabet in [&STANDARD, &URL_SAFE] {
        let text = engine(alphabet, true).encode(bytes);
        // 64 as PEM wraps it (RFC 7468), 76 as MIME (RFC 2045) and base64(1) do.
        for width in [64, 76] {
            if text.len() > width {
                forms.extend(text.as_bytes().chunks(width).filter(|line| line.len() >= SHORTEST_LINE).map(<[u8]>::to_vec));
            }
        }
        forms.push(text.trim_end_matches('=').as_bytes().to_vec());
        forms.push(text.into_bytes());
    }
}

/// `bytes` somewhere inside of a longer encoded text: three bytes become four characters, so there are three ways to be
/// cut, and the characters at either end are shared with the neighbours.
fn base64_inside(bytes: &[u8], forms: &mut Vec<Vec<u8>>) {
    for alphabet in [&STANDARD, &URL_SAFE] {
        let engine = engine(alphabet, false);
        for offset in 0..3_usize {
            let text = engine.encode([&[0_u8; 2][..offset], bytes].concat());
            // Characters whose six bits are all the secret's own.
            let (first, last) = ((offset * 8).div_ceil(6), (offset + bytes.len()) * 8 / 6);
            if let Some(inside) = text.as_bytes().get(first..last) {
                forms.push(inside.to_vec());
            }
        }
    }
}

fn lower_case_escapes(text: &str) -> String {
    let mut lower = String::with_capacity(text.len());
    let mut escape = 0;
    for c in text.chars() {
        if c == '%' {
            escape = 2;
            lower.push(c);
        } else if escape > 0 {
            escape -= 1;
            lower.push(c.to_ascii_lowercase());
        } else {
            lower.push(c);
        }
    }
    lower
}

/// Inside a JSON string: as serde writes it, with escaped slashes, and as Go writes it for HTML.
fn json(secret: &str, forms: &mut Vec<Vec<u8>>) {
    let Ok(text) = serde_json::to_string(secret) else { return };
    let text = text.trim_start_matches('"');
    let text = text.strip_suffix('"').unwrap_or(text);
    forms.push(text.replace('/', r"\/").into_bytes());
    forms.push(text.replace('<', r"\u003c").replace('>', r"\u003e").replace('&', r"\u0026").into_bytes());
    let ascii = text.chars().fold(String::new(), |mut ascii, c| {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
        ascii
    });
    forms.push(ascii.into_bytes());
    forms.push(text.as_bytes().to_vec());
    // JSON in JSON, as in a log line about a log line.
    if let Ok(twice) = serde_json::to_string(text) {
        forms.push(twice.as_bytes()[1..twice.len() - 1].to_vec());
    }
}

fn backslashed(secret: &str) -> String {
    secret.chars().fold(String::new(), |mut text, c| {
        if !c.is_alphanumeric() && !"-_./:,@%+=".contains(c) {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD as B64, URL_SAFE_NO_PAD};

    fn hidden(forms: &[Vec<u8>], text: &str) -> bool {
        forms.iter().any(|form| text.as_bytes().windows(form.len()).any(|window| window == form.as_slice()))
    }

    #[test]
    fn every_usual_form_is_known() {
        let secret = "s3cr et/p@ss'w\"ord+<é>";
        let forms = forms(secret);
        for text in [
            secret.to_owned(),
            B64.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            B64.encode(format!("{secret}\n")),
            B64.encode(format!("user:{secret}")),
            B64.encode(format!("xuser:{secret} and more")),
            B64.encode(format!("yxuser:{secret} and more")),
            "s3cr%20et%2Fp%40ss%27w%22ord%2B%3C%C3%A9%3E".to_owned(),
            "s3cr%20et%2fp%40ss%27w%22ord%2b%3c%c3%a9%3e".to_owned(),
            "s3cr+et%2Fp%40ss%27w%22ord%2B%3C%C3%A9%3E".to_owned(),
            r#"{"password":"s3cr et/p@ss'w\"ord+<é>"}"#.to_owned(),
            r#"{"password":"s3cr et\/p@ss'w\"ord+<é>"}"#.to_owned(),
            r#"{"password":"s3cr et/p@ss'w\"ord+\u003cé\u003e"}"#.to_owned(),
            crate::digest::hex(secret.as_bytes()),
            crate::digest::hex(secret.as_bytes()).to_uppercase(),
            r#"'s3cr et/p@ss'\''w"ord+<é>'"#.to_owned(),
        ] {
            assert!(hidden(&forms, &text), "{text}");
        }
        assert!(basic("user", secret).contains(&B64.encode(format!("user:{secret}")).into_bytes()));
    }

    #[test]
    fn secrets_of_several_lines_are_known_line_by_line() {
        let secret = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nshort\nAgEAAoIBAQC7VJTUt9Us\n-----END KEY-----\n";
        let forms = forms(secret);
        for line in ["-----BEGIN KEY-----", "MIIEvQIBADANBgkqhkiG", "AgEAAoIBAQC7VJTUt9Us"] {
            assert!(forms.iter().any(|form| form == line.as_bytes()), "{line}");
        }
        assert!(!forms.iter().any(|form| form == b"short"));
        assert!(hidden(&forms, secret));
    }

    #[test]
    fn what_is_too_short_is_left_alone() {
        assert!(forms("abc").is_empty() && forms("  x \n").is_empty());
        assert!(forms("abcd").iter().all(|form| form.len() >= SHORTEST));
    }
}
