//! Bytes of a job file and of the secret files it names, within limits.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use super::Mistake;

/// Biggest job file: inline manifests included, far beyond what people write.
const MAX_BYTES: u64 = 8 << 20;
/// Biggest secret file; a kubeconfig or key fits many times.
const MAX_SECRET: u64 = 256 << 10;

/// The text of a file, or of standard input for `-`.
pub(super) fn load(path: &Path) -> Result<String, Mistake> {
    let unreadable = |error: std::io::Error| Mistake::Unreadable(error.kind());
    let bytes = if path == Path::new("-") {
        bounded(std::io::stdin().lock(), MAX_BYTES)
    } else {
        std::fs::File::open(path).and_then(|file| bounded(file, MAX_BYTES))
    };
    let bytes = bytes.map_err(unreadable)?.ok_or(Mistake::TooBig(MAX_BYTES))?;
    String::from_utf8(bytes).map_err(|error| Mistake::NotText(error.utf8_error().valid_up_to()))
}

/// The absolute folder that the file's relative paths start from.
pub(super) fn base(path: &Path) -> Result<PathBuf, Mistake> {
    let folder = if path == Path::new("-") { Path::new("") } else { path.parent().unwrap_or(Path::new("")) };
    std::env::current_dir().map(|here| here.join(folder)).map_err(|error| Mistake::Unreadable(error.kind()))
}

/// The secret in a file, without the newline that editors put at the end.
pub(super) fn secret(base: &Path, path: &str) -> Result<SecretString, String> {
    let file = std::fs::File::open(base.join(path)).map_err(|error| error.kind().to_string())?;
    let bytes = bounded(file, MAX_SECRET).map_err(|error| error.kind().to_string())?;
    let bytes = bytes.ok_or_else(|| format!("it is bigger than {MAX_SECRET} bytes"))?;
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(SecretString::from(text)) }
}

/// Everything there is, unless that is more than `limit`.
fn bounded(reader: impl Read, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(u64::try_from(bytes.len()).is_ok_and(|length| length <= limit).then_some(bytes))
}
