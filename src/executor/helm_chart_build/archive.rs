//! Reading a packaged chart (`.tgz`), which may come from anybody.
//!
//! In: gzip bytes. Out: files by their path below the archive's top folder. Helm's rules (`LoadArchiveFiles`), and stricter where helm is silent:
//! links, devices, repeated and non-UTF-8 names are refused. Nothing is written to disk; what is unpacked counts against the
//! [`Budget`] before it is kept, so an archive that unpacks to more than a chart may hold is dropped at that point.

use std::{
    collections::{BTreeSet, HashSet},
    io::{self, Read},
};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use super::budget::{Budget, MAX_TOTAL, TooMuch};

/// Room for tar headers and padding beside [`MAX_TOTAL`] bytes of content.
const MAX_STREAM: u64 = MAX_TOTAL + (32 << 20);

/// A file of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Path relative to the chart, `/` between its parts.
    pub(crate) name: String,
    /// Content without a byte order mark.
    pub(crate) data: Vec<u8>,
}

impl File {
    /// The file, less a UTF-8 byte order mark at its beginning, which helm drops from every file.
    pub(crate) fn new(name: String, mut data: Vec<u8>) -> Self {
        if data.starts_with(b"\xef\xbb\xbf") {
            data.drain(..3);
        }
        Self { name, data }
    }
}

/// What an archive holds.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// In the archive's order.
    pub(crate) files: Vec<File>,
    /// Names of the top folders; a well-formed chart has one, with its own name.
    pub(crate) roots: BTreeSet<String>,
}

/// An archive that is no chart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("it is not a gzip-compressed tar archive, or is damaged: {0}; package it with 'helm package'")]
    Damaged(#[source] io::Error),
    #[error("it has no files")]
    Empty,
    #[error("entry '{name}' {what}; package the chart with 'helm package'")]
    Name { name: String, what: &'static str },
    #[error("entry '{name}' is {what}; charts hold plain files only: package it with 'helm package', which packs copies")]
    Kind { name: String, what: &'static str },
    #[error("entry '{name}' is there twice; package the chart again")]
    Twice { name: String },
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
}

/// Reads a whole archive; `at` goes in front of names in messages about size.
pub(crate) fn unpack(archive: impl Read, at: &str, budget: &mut Budget) -> Result<Unpacked, ArchiveError> {
    let limited = Limited { inner: MultiGzDecoder::new(archive), left: MAX_STREAM };
    let mut tar = tar::Archive::new(limited);
    let mut unpacked = Unpacked { files: Vec::new(), roots: BTreeSet::new() };
    let mut seen = HashSet::new();
    for entry in tar.entries().map_err(ArchiveError::Damaged)? {
        let mut entry = entry.map_err(|error| damaged(error, at))?;
        let raw = entry.path_bytes().into_owned();
        let name = String::from_utf8_lossy(&raw).into_owned();
        if let Some(what) = unwanted(entry.header().entry_type()) {
            return Err(ArchiveError::Kind { name, what });
        }
        if matches!(entry.header().entry_type(), EntryType::Directory | EntryType::XGlobalHeader) || name.ends_with('/') {
            continue;
        }
        if std::str::from_utf8(&raw).is_err() {
            return Err(ArchiveError::Name { name, what: "has a name that is not UTF-8" });
        }
        let (root, path) = inner_path(&name)?;
        budget.take(&format!("{at}{path}"), entry.size())?;
        if !seen.insert(path.clone()) {
            return Err(ArchiveError::Twice { name: path });
        }
        let mut data = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0));
        entry.read_to_end(&mut data).map_err(|error| damaged(error, at))?;
        unpacked.roots.insert(root);
        unpacked.files.push(File::new(path, data));
    }
    // A tar reader stops at the end mark; the checksum of the compressed stream comes after it.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|error| damaged(error, at))?;
    if unpacked.files.is_empty() { Err(ArchiveError::Empty) } else { Ok(unpacked) }
}

const fn unwanted(kind: EntryType) -> Option<&'static str> {
    match kind {
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::Link => Some("a hard link"),
        EntryType::Char | EntryType::Block => Some("a device"),
        EntryType::Fifo => Some("a named pipe"),
        EntryType::GNUSparse => Some("a sparse file"),
        _ => None,
    }
}

/// Splits a name into the top folder and the path below it; refuses every path that could lead out.
fn inner_path(name: &str) -> Result<(String, String), ArchiveError> {
    let refuse = |what| Err(ArchiveError::Name { name: name.to_owned(), what });
    // Archives made on Windows may have '\' between the parts; then '/' is part of a name, and a trick.
    let normal = if name.contains('\\') { name.replace('\\', "/") } else { name.to_owned() };
    let Some((root, rest)) = normal.split_once('/') else {
        return if name == "Chart.yaml" {
            refuse("lies at the top; a packaged chart has one folder at the top, named like the chart")
        } else {
            refuse("lies outside the chart's folder")
        };
    };
    if root.is_empty() || rest.starts_with('/') {
        return refuse("has an absolute path");
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => return refuse("leads out of the chart with '..'"),
            part => parts.push(part),
        }
    }
    if root == ".." {
        return refuse("leads out of the chart with '..'");
    }
    let path = parts.join("/");
    let drive = path.as_bytes().get(1..3) == Some(b":/") && path.starts_with(|c: char| c.is_ascii_alphabetic());
    if path.is_empty() || path.starts_with("..") || drive {
        return refuse("has a name that no chart file may have");
    }
    Ok((root.to_owned(), path))
}

/// Tells an archive that unpacks to too much from a damaged one.
fn damaged(error: io::Error, at: &str) -> ArchiveError {
    if error.get_ref().and_then(|inner| inner.downcast_ref::<StreamTooLong>()).is_some() {
        ArchiveError::TooMuch(TooMuch::Total { file: if at.is_empty() { "the archive".to_owned() } else { at.to_owned() } })
    } else {
        ArchiveError::Damaged(error)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it unpacks to too much")]
struct StreamTooLong;

/// Ends with an error, not with an end of file, after so many bytes.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| io::Error::other(StreamTooLong))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write as _;

    /// A tar entry with exactly this name, however wrong it is.
    fn raw_entry(out: &mut Vec<u8>, name: &[u8], kind: EntryType, data: &[u8]) {
        let mut header = tar::Header::new_ustar();
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).expect("into memory");
        encoder.finish().expect("into memory")
    }

    fn archive(entries: &[(&[u8], EntryType)]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, kind) in entries {
            raw_entry(&mut tar, name, *kind, b"");
        }
        tar.resize(tar.len() + 1024, 0);
        gzip(&tar)
    }

    fn refusal(entries: &[(&[u8], EntryType)]) -> String {
        unpack(archive(entries).as_slice(), "", &mut Budget::default()).expect_err("refused").to_string()
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for (name, message) in [
            (&b"a/../../x"[..], "entry 'a/../../x' leads out of the chart with '..'; package the chart with 'helm package'"),
            (b"../x", "entry '../x' leads out of the chart with '..'; package the chart with 'helm package'"),
            (b"a\\..\\x", "entry 'a\\..\\x' leads out of the chart with '..'; package the chart with 'helm package'"),
            (b"/etc/x", "entry '/etc/x' has an absolute path; package the chart with 'helm package'"),
            (b"a//x", "entry 'a//x' has an absolute path; package the chart with 'helm package'"),
            (b"a/c:/x", "entry 'a/c:/x' has a name that no chart file may have; package the chart with 'helm package'"),
            (b"a/..x", "entry 'a/..x' has a name that no chart file may have; package the chart with 'helm package'"),
            (b"x", "entry 'x' lies outside the chart's folder; package the chart with 'helm package'"),
            (
                b"Chart.yaml",
                "entry 'Chart.yaml' lies at the top; a packaged chart has one folder at the top, named like the chart; package the chart with 'helm package'",
            ),
            (b"a/\xff", "entry 'a/\u{fffd}' has a name that is not UTF-8; package the chart with 'helm package'"),
        ] {
            assert_eq!(refusal(&[(name, EntryType::Regular)]), message);
        }
    }

    #[test]
    fn only_plain_files_once_each() {
        let kind = |kind| refusal(&[(b"a/x", kind)]);
        assert_eq!(
            kind(EntryType::Symlink),
            "entry 'a/x' is a symbolic link; charts hold plain files only: package it with 'helm package', which packs copies"
        );
        assert!(
            kind(EntryType::Link).contains("a hard link")
                && kind(EntryType::Fifo).contains("a named pipe")
                && kind(EntryType::Char).contains("a device")
        );
        assert_eq!(
            refusal(&[(b"a/x", EntryType::Regular), (b"b/./x", EntryType::Regular)]),
            "entry 'x' is there twice; package the chart again"
        );
        assert_eq!(refusal(&[(b"a/", EntryType::Directory)]), "it has no files");
    }

    #[test]
    fn folders_and_extension_headers_are_passed_over() {
        let data = archive(&[(b"a/", EntryType::Directory), (b"pax", EntryType::XGlobalHeader), (b"a/x\\y", EntryType::Regular)]);
        let unpacked = unpack(data.as_slice(), "", &mut Budget::default()).expect("fine");
        assert_eq!(unpacked.files, [File { name: "x/y".into(), data: Vec::new() }]);
        assert_eq!(unpacked.roots.into_iter().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn bombs_are_dropped_while_reading() {
        let mut header = tar::Header::new_ustar();
        header.set_path("a/x").expect("short");
        header.set_size(1 << 40);
        header.set_cksum();
        let huge = gzip(header.as_bytes());
        let error = unpack(huge.as_slice(), "", &mut Budget::default()).expect_err("too large");
        assert_eq!(
            error.to_string(),
            "'x' has 1099511627776 bytes; a file of a chart may have 5 MiB (helm's limit): list it in .helmignore or keep it elsewhere"
        );

        let mut tar = Vec::new();
        for index in 0..21 {
            raw_entry(&mut tar, format!("a/{index}").as_bytes(), EntryType::Regular, &vec![0; 5 << 20]);
        }
        let error = unpack(gzip(&tar).as_slice(), "charts/b/", &mut Budget::default()).expect_err("too large");
        assert!(error.to_string().starts_with("the chart has 100 MiB or more unpacked, at 'charts/b/19'"), "{error}");

        let zeros = gzip(&vec![0; 1 << 20]).repeat(140);
        assert!(unpack(zeros.as_slice(), "", &mut Budget::default()).is_err(), "an archive of nothing ends too");
    }

    #[test]
    fn damage_is_an_error() {
        let good = archive(&[(b"a/x", EntryType::Regular)]);
        assert!(matches!(unpack(&good[..good.len() - 9], "", &mut Budget::default()), Err(ArchiveError::Damaged(_) | ArchiveError::Empty)));
        assert!(matches!(unpack(&b"<html>"[..], "", &mut Budget::default()), Err(ArchiveError::Damaged(_))));
    }

    #[test]
    fn byte_order_marks_go() {
        assert_eq!(File::new("a".into(), b"\xef\xbb\xbfx".to_vec()).data, b"x");
    }

    proptest! {
        #[test]
        fn damaged_archives_are_errors_or_harmless(flips in proptest::collection::vec((0_usize..4096, any::<u8>()), 1..12)) {
            let mut tar = Vec::new();
            for name in [&b"a/Chart.yaml"[..], b"a/templates/x.yaml", b"a/y"] {
                raw_entry(&mut tar, name, EntryType::Regular, b"some content");
            }
            tar.resize(tar.len() + 1024, 0);
            for (at, value) in flips {
                let at = at % tar.len();
                tar[at] = value;
            }
            // Half of the headers get a checksum that fits, so that damage is not always caught by it.
            for block in tar.chunks_exact_mut(1024).step_by(2) {
                let mut header = tar::Header::new_old();
                header.as_mut_bytes().copy_from_slice(&block[..512]);
                header.set_cksum();
                block[..512].copy_from_slice(header.as_bytes());
            }
            if let Ok(unpacked) = unpack(gzip(&tar).as_slice(), "", &mut Budget::default()) {
                for file in unpacked.files {
                    prop_assert!(!file.name.starts_with('/') && !file.name.split('/').any(|part| part == ".."), "{}", file.name);
                }
            }
        }

        #[test]
        fn no_name_leads_out(name in "([a.]{1,3}[/\\\\]{0,2}|\\.\\./){0,5}[a.c:]{0,3}") {
            if let Ok((_, path)) = inner_path(&name) {
                prop_assert!(!path.is_empty() && !path.starts_with('/'));
                prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", path);
            }
        }
    }
}
