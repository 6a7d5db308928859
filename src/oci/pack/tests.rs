//! Properties of the packer: what it writes reads back, and the same input gives the same bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Entries = BTreeMap<String, (u32, u64, Vec<u8>)>;

fn pack(entries: &Entries) -> (Packed, Vec<u8>) {
    let mut packer = Packer::new(Vec::new(), Effort::Usual, Cancel::new());
    for (name, (mode, mtime, content)) in entries {
        packer.bytes(name, Meta { mode: *mode, mtime: *mtime }, content).unwrap();
    }
    packer.finish().unwrap()
}

fn unpack(bytes: &[u8]) -> Entries {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let read = |entry: io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!((header.username(), header.groupname()), (Ok(Some("")), Ok(Some(""))));
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        (name, (header.mode().unwrap(), header.mtime().unwrap(), content))
    };
    archive.entries().unwrap().map(read).collect()
}

fn names() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-zA-Z0-9 _.ü-]{1,120}", 1..5)
        .prop_filter("dots", |parts| parts.iter().all(|p| p != "." && p != ".."))
        .prop_map(|parts| parts.join("/"))
}

proptest! {
    #[test]
    fn everything_reads_back_and_twice_is_the_same(
        entries in proptest::collection::btree_map(
            names(),
            (0_u32..0o10000, 0_u64..0o777_7777_7777, proptest::collection::vec(any::<u8>(), 0..2000)),
            0..8,
        )
    ) {
        let (packed, bytes) = pack(&entries);
        prop_assert_eq!(unpack(&bytes), entries.clone());
        prop_assert_eq!(&Digest::of(&bytes), &packed.digest);
        prop_assert_eq!(bytes.len() as u64, packed.size);
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut tar).unwrap();
        prop_assert_eq!(&Digest::of(&tar), &packed.diff_id);
        prop_assert_eq!(tar.len() as u64, packed.unpacked);
        prop_assert_eq!(pack(&entries), (packed, bytes));
    }
}

#[test]
fn the_gzip_header_names_neither_time_nor_machine() {
    let (_, bytes) = pack(&Entries::new());
    assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn the_bytes_of_an_archive_are_pinned() {
    let entries = Entries::from([("chart/Chart.yaml".into(), (0o644, 1, b"name: chart\n".to_vec()))]);
    let (packed, _) = pack(&entries);
    // From Python's tarfile (USTAR_FORMAT) with the device fields set to zero, as Go's writer sets them.
    assert_eq!(packed.unpacked, 2048);
    assert_eq!(packed.diff_id.as_str(), PINNED);
}

const PINNED: &str = "sha256:38192d0fe9fc70bf98e8869ace37c70f030379504cadd4b621cd39b7e308fcae";

#[test]
fn long_names_use_ustar_while_they_fit() {
    let fits = format!("{}/{}", "d".repeat(155), "f".repeat(100));
    let (packed, bytes) = pack(&Entries::from([(fits.clone(), (0o644, 0, Vec::new()))]));
    assert_eq!(packed.unpacked, 512 + 1024);
    assert!(unpack(&bytes).contains_key(&fits));
    let too_long = format!("{}/{}", "d".repeat(156), "f".repeat(100));
    let (packed, bytes) = pack(&Entries::from([(too_long.clone(), (0o644, 0, Vec::new()))]));
    assert_eq!(packed.unpacked, 3 * 512 + 1024);
    assert!(unpack(&bytes).contains_key(&too_long));
}

#[test]
fn a_file_that_changes_and_a_name_given_twice_are_refused() {
    let mut packer = Packer::new(Vec::new(), Effort::Usual, Cancel::new());
    packer.bytes("a", Meta::FILE, b"").unwrap();
    assert!(matches!(packer.bytes("a", Meta::FILE, b""), Err(PackError::Duplicate(_))));
    assert!(matches!(packer.file("b", Meta::FILE, 3, &b"12"[..]), Err(PackError::Changed { expected: 3, actual: 2, .. })));
    let mut packer = Packer::new(Vec::new(), Effort::Usual, Cancel::new());
    assert!(matches!(packer.file("b", Meta::FILE, 1, &b"12"[..]), Err(PackError::Changed { expected: 1, actual: 2, .. })));
}

#[test]
fn a_stopped_archive_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tgz");
    let cancel = Cancel::new();
    let result = to_file(&path, Effort::Usual, &cancel, |packer| {
        packer.bytes("a", Meta::FILE, b"x")?;
        cancel.cancel(crate::job::CancelCause::Requested);
        packer.bytes("b", Meta::FILE, b"x")
    });
    assert!(matches!(result, Err(PackError::Cancelled(_))));
    assert!(!path.exists());
}
