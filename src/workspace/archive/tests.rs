//! Good archives come out as they are; every hostile one is refused with nothing outside.

use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

use proptest::prelude::*;
use tar::{Builder, Header};

use super::*;
use crate::job::{Failure, FailureKind};

/// One entry, written as it is: the `tar` crate's own checks are for honest people.
fn entry(name: &str, kind: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o4755);
    let raw = header.as_mut_bytes();
    raw[..name.len()].copy_from_slice(name.as_bytes());
    raw[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn try_unpack(bytes: &[u8], limits: &Limits) -> (tempfile::TempDir, Result<Unpacked, Error>) {
    let outer = tempfile::tempdir().expect("a folder");
    let done = unpack(&Cancel::new(), bytes, &outer.path().join("dest"), limits);
    let names: Vec<_> = std::fs::read_dir(outer.path()).expect("readable").map(|entry| entry.expect("readable").file_name()).collect();
    assert!(names.iter().all(|name| name == "dest"), "written outside: {names:?}");
    (outer, done)
}

#[test]
fn files_folders_and_links_come_out() {
    let long = format!("{}/file", "a".repeat(99));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o4755);
    header.set_cksum();
    builder.append_data(&mut header, format!("long/{long}"), &b"abc"[..]).expect("in memory");
    let long_entries = builder.into_inner().expect("in memory");
    let entries = [
        entry("./", EntryType::Directory, "", b""),
        entry("dir/", EntryType::Directory, "", b""),
        entry("dir/file", EntryType::Regular, "", b"content"),
        entry("implied/parent/file", EntryType::Regular, "", b""),
        entry("dir/link", EntryType::Symlink, "../implied/parent/file", b""),
        entry("hard", EntryType::Link, "dir/file", b""),
        entry("dir", EntryType::Directory, "", b""),
        long_entries,
    ];
    for bytes in [archive(&entries), gzip(&archive(&entries))] {
        let (outer, done) = try_unpack(&bytes, &Limits::default());
        assert_eq!(done.expect("unpacked"), Unpacked { entries: 8, bytes: 10 });
        let dest = outer.path().join("dest");
        assert_eq!(std::fs::read(dest.join("hard")).expect("there"), b"content");
        assert_eq!(std::fs::read(dest.join("dir/link")).expect("there"), b"");
        let file = dest.join("long").join(&long);
        assert_eq!(std::fs::metadata(file).expect("there").permissions().mode() & 0o7000, 0, "no set-id bits");
    }
}

#[test]
fn hostile_entries_are_refused() {
    use EntryType::{Block, Char, Fifo, Link, Regular, Symlink};
    let file = |name| entry(name, Regular, "", b"x");
    for (entries, why) in [
        (vec![file("../out")], "'..' in its name"),
        (vec![file("a/../../out")], "'..' in its name"),
        (vec![file("/etc/out")], "an absolute name"),
        (vec![entry("l", Symlink, "/etc/passwd", b"")], "leads out"),
        (vec![entry("l", Symlink, "../out", b"")], "leads out"),
        (vec![entry("d/l", Symlink, "../../out", b"")], "leads out"),
        (vec![entry("d/up", Symlink, "..", b""), entry("l", Symlink, "d/up/../out", b"")], "'..' inside of its target"),
        (vec![entry("l", Symlink, "d", b""), file("l/out")], "below a file or link"),
        (vec![file("f"), file("f/out")], "below a file or link"),
        (vec![file("f"), file("f")], "is there twice"),
        (vec![entry("l", Symlink, "f", b""), file("l")], "is there twice"),
        (vec![entry("l", Link, "../out", b"")], "'..' in its name"),
        (vec![entry("l", Link, "none", b"")], "no earlier file"),
        (vec![entry("s", Symlink, "f", b""), entry("l", Link, "s", b"")], "no earlier file"),
        (vec![entry("d", Block, "", b"")], "device or pipe"),
        (vec![entry("d", Char, "", b"")], "device or pipe"),
        (vec![entry("d", Fifo, "", b"")], "device or pipe"),
    ] {
        let (_outer, done) = try_unpack(&archive(&entries), &Limits::default());
        let failure = Failure::from(done.expect_err(why));
        assert!(failure.message.contains(why) && failure.kind == FailureKind::InvalidSource, "{why}: {failure}");
    }
    let mut bad_name = entry("xx", Regular, "", b"");
    bad_name[0] = 0xff;
    let mut header = Header::from_byte_slice(&bad_name[..512]).clone();
    header.set_cksum();
    let (_outer, done) = try_unpack(&archive(&[header.as_bytes().to_vec()]), &Limits::default());
    assert!(done.expect_err("no name").to_string().contains("not UTF-8"));
}

#[test]
fn limits_hold() {
    let limits = Limits { entries: 3, bytes: 1000, file_bytes: 600, ratio: 200 };
    let file = |name: &str, size: usize| entry(name, EntryType::Regular, "", &vec![b'x'; size]);
    for (entries, what) in [
        (vec![file("a", 0), file("b", 0), file("c", 0), file("d", 0)], "more than 3 entries"),
        (vec![file("a", 601)], "more than 600 bytes in one file"),
        (vec![file("a", 600), file("b", 401)], "more than 1000 bytes in all files"),
    ] {
        let (_outer, done) = try_unpack(&archive(&entries), &limits);
        let failure = Failure::from(done.expect_err(what));
        assert!(failure.message.contains(what) && failure.kind == FailureKind::LimitExceeded, "{failure}");
    }
    let bomb = gzip(&archive(&[file("zeros", 50 << 20)]));
    let (_outer, done) = try_unpack(&bomb, &Limits::default());
    assert_eq!(done.expect_err("a bomb").to_string(), "the archive has more than 200 bytes unpacked per byte packed");
    // A name of many megabytes, which the reader would keep in memory.
    let name: Vec<u8> = (0..8_u32 << 20).map(|number| b'a' + (number.wrapping_mul(2_654_435_761) >> 24) as u8 % 26).collect();
    let (_outer, done) =
        try_unpack(&archive(&[entry("././@LongLink", EntryType::GNULongName, "", &name), file("a", 1)]), &Limits::default());
    assert_eq!(done.expect_err("a bomb").to_string(), "the archive has more than 1048576 bytes in one header");
}

#[test]
fn broken_archives_are_named_as_such() {
    let good = archive(&[entry("file", EntryType::Regular, "", &[7; 5000])]);
    for bytes in [&b"<html>404</html>"[..], &good[..600], &gzip(&good)[..40], &gzip(b"not a tar archive, but long enough to be none")] {
        let (_outer, done) = try_unpack(bytes, &Limits::default());
        assert!(matches!(done, Err(Error::Malformed(_))), "{done:?}");
    }
    let cancel = Cancel::new();
    cancel.cancel(crate::job::CancelCause::Requested);
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(unpack(&cancel, good.as_slice(), folder.path(), &Limits::default()), Err(Error::Cancelled(_))));
}

proptest! {
    #[test]
    fn whatever_an_archive_says_nothing_leaves_the_folder(
        entries in proptest::collection::vec(("(\\.\\./|/|\\./|[ab]/){0,4}[abc]", 0_u8..7, "(\\.\\./|/|[ab]/){0,4}[abc.]{1,2}"), 1..8)
    ) {
        let kinds = [b'0', b'1', b'2', b'5', b'2', b'6', b'0'].map(EntryType::new);
        let bytes: Vec<Vec<u8>> = entries.iter().map(|(name, kind, link)| entry(name, kinds[usize::from(*kind)], link, b"")).collect();
        // `try_unpack` fails if anything appears beside the destination; links are followed to their ends here.
        let (outer, _done) = try_unpack(&archive(&bytes), &Limits::default());
        let dest = outer.path().join("dest").canonicalize().expect("made");
        for entry in ignore::WalkBuilder::new(&dest).standard_filters(false).build().flatten() {
            if let Ok(real) = entry.path().canonicalize() {
                prop_assert!(real.starts_with(&dest), "{} leads to {}", entry.path().display(), real.display());
            }
        }
    }
}
