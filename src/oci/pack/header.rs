//! One entry's header blocks: ustar (POSIX.1-1988), preceded by a PAX record (POSIX.1-2001) for names that do not fit.
//!
//! Written by hand on the `tar` crate's `Header`, because its builder falls back to GNU long names, which not every reader of
//! artifacts knows, and leaves fields to the machine's defaults.

use tar::{EntryType, Header};

use super::{BLOCK, Meta, PackError};

/// Bytes of ustar's name field.
const NAME: usize = 100;
/// Largest number the eleven octal digits of a size or time hold.
const MAX_OCTAL: u64 = 0o777_7777_7777;
/// Longest name anybody's file system takes (`PATH_MAX`).
const MAX_NAME: usize = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
}

/// Refuses names that could lead a reader out of its folder, or that two readers would understand differently.
pub(super) fn check_name(name: &str) -> Result<(), PackError> {
    let fit = !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.contains(|c: char| c == '\\' || c.is_control())
        && (name == "." || name.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if fit { Ok(()) } else { Err(PackError::Name(name.chars().take(200).collect())) }
}

/// The blocks in front of an entry's content.
pub(super) fn encode(name: &str, kind: Kind, meta: Meta, size: u64) -> Result<Vec<u8>, PackError> {
    if size > MAX_OCTAL {
        return Err(PackError::TooLarge { name: name.to_owned(), size });
    }
    let full = if kind == Kind::Directory { format!("{name}/") } else { name.to_owned() };
    let entry_type = if kind == Kind::Directory { EntryType::Directory } else { EntryType::Regular };
    let mut blocks = Vec::with_capacity(BLOCK);
    if let Some((prefix, name)) = split(&full) {
        blocks.extend_from_slice(block(prefix, name, entry_type, meta, size).as_bytes());
        return Ok(blocks);
    }
    let record = pax_record("path", &full);
    let ascii = |text: &str| text.bytes().filter(u8::is_ascii).take(NAME - 16).collect::<Vec<_>>();
    let short = ascii(full.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
    let mut pax_name = b"PaxHeaders.0/".to_vec();
    pax_name.extend_from_slice(&short);
    let pax_meta = Meta { mode: 0o644, mtime: meta.mtime };
    blocks.extend_from_slice(block(b"", &pax_name, EntryType::XHeader, pax_meta, record.len() as u64).as_bytes());
    blocks.extend_from_slice(record.as_bytes());
    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    // Readers without PAX see the end of the name, which beats two entries of one name.
    blocks.extend_from_slice(block(b"", &short, entry_type, meta, size).as_bytes());
    Ok(blocks)
}

/// Prefix and name as ustar stores them: joined by a slash on reading. `None` when they do not fit or are not ASCII.
fn split(full: &str) -> Option<(&[u8], &[u8])> {
    if !full.is_ascii() {
        return None;
    }
    let bytes = full.as_bytes();
    if bytes.len() <= NAME {
        return Some((b"", bytes));
    }
    // The slash at the very end belongs to the name of a folder.
    let within = &bytes[..bytes.len() - 1];
    let cut = (0..within.len()).rev().find(|&at| within[at] == b'/' && at <= 155)?;
    let name = &bytes[cut + 1..];
    (name.len() <= NAME).then_some((&bytes[..cut], name))
}

fn block(prefix: &[u8], name: &[u8], entry_type: EntryType, meta: Meta, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    header.set_mode(meta.mode & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(meta.mtime.min(MAX_OCTAL));
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.name[..name.len()].copy_from_slice(name);
        ustar.prefix[..prefix.len()].copy_from_slice(prefix);
        ustar.set_device_major(0);
        ustar.set_device_minor(0);
    }
    header.set_cksum();
    // POSIX's "six digits, NUL, space", as Go and Python write it; the crate writes seven digits and NUL.
    if let Ok(sum) = header.cksum() {
        header.as_old_mut().cksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    header
}

/// `"<length> <key>=<value>\n"`, where the length counts its own digits.
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pax_record_counts_its_own_length() {
        for count in [1, 90, 91, 92, 93, 94, 95, 990, 991, 992, 993] {
            let record = pax_record("path", &"a".repeat(count));
            let announced: usize = record.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(announced, record.len());
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for bad in ["", "/etc/passwd", "a/../b", "..", "a//b", "a/", "./a", "a\\b", "a\nb", "a\0b", &"a/".repeat(3000)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in [".", "a", "a/b.c", "…/ü"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }
}
