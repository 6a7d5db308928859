//! Copying a folder as it stands: git's ignore rules where it is a checkout, links as links, nothing of git's own.

use std::{
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use ignore::WalkBuilder;

use super::{Error, Options};
use crate::{parallel, shutdown::Cancel};

/// A file and where it goes.
type Pair = (PathBuf, PathBuf);

/// Copies `folder` to `dest`. `skip` is left out: the state folder may well be inside the source. Blocking.
pub(super) fn folder(cancel: &Cancel, folder: &Path, dest: &Path, skip: &Path, options: &Options) -> Result<(), Error> {
    let bytes = AtomicU64::new(0);
    let copy = |(from, to): Pair| {
        cancel.check()?;
        let copied = fs_err::copy(from, to)?;
        if bytes.fetch_add(copied, Ordering::Relaxed).saturating_add(copied) > options.max_bytes {
            return Err(too_large(folder, format!("{} MiB", options.max_bytes >> 20)));
        }
        Ok(())
    };
    parallel::each_found(|found| search(cancel, folder, dest, skip, options, found), copy).map(drop)
}

/// Makes the folders and links of `folder` in `dest`, and hands over its files.
fn search(cancel: &Cancel, folder: &Path, dest: &Path, skip: &Path, options: &Options, found: &mut dyn FnMut(Pair)) -> Result<(), Error> {
    let mut files = 0_u64;
    fs_err::create_dir_all(dest)?;
    for entry in walk(folder, skip) {
        cancel.check()?;
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let Ok(inside) = entry.path().strip_prefix(folder) else { continue };
        if inside.as_os_str().is_empty() {
            continue;
        }
        files += 1;
        if files > options.max_files {
            return Err(too_large(folder, format!("{} files", options.max_files)));
        }
        let target = dest.join(inside);
        let Some(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            fs_err::create_dir(&target)?;
            continue;
        }
        if kind.is_symlink() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(entry.path())?, &target)?;
            continue;
        }
        if !kind.is_file() {
            let why = format!("is a {}: only files, folders and links can be built from", name(kind));
            return Err(Error::Content { entry: inside.display().to_string(), why });
        }
        found((entry.into_path(), target));
    }
    Ok(())
}

fn too_large(folder: &Path, limit: String) -> Error {
    Error::TooLarge { folder: folder.display().to_string(), limit }
}

/// Everything that git would see: hidden files too, `.git` never. Outside of a checkout no rules apply.
fn walk(folder: &Path, skip: &Path) -> ignore::Walk {
    let skip: PathBuf = skip.to_owned();
    WalkBuilder::new(folder)
        .hidden(false)
        .ignore(false)
        .follow_links(false)
        .filter_entry(move |entry| entry.file_name() != ".git" && entry.path() != skip)
        .sort_by_file_name(Ord::cmp)
        .build()
}

fn unreadable(folder: &Path, error: &ignore::Error) -> Error {
    let text = format!("'{}' cannot be read: {error}", folder.display());
    let kind = error.io_error().map_or(std::io::ErrorKind::Other, std::io::Error::kind);
    Error::Io(std::io::Error::new(kind, text))
}

fn name(kind: std::fs::FileType) -> &'static str {
    if kind.is_fifo() {
        "named pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = WalkBuilder::new(root)
            .standard_filters(false)
            .build()
            .flatten()
            .filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_str()?.to_owned()))
            .filter(|name| !name.is_empty())
            .collect();
        names.sort_unstable();
        names
    }

    fn source() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (name, text) in
            [("Chart.yaml", "name: x"), (".helmignore", "*.bak"), ("out/big.bin", "1"), ("keep.log", "2"), ("templates/a.yaml", "3")]
        {
            let file = root.path().join(name);
            std::fs::create_dir_all(file.parent().expect("inside")).expect("made");
            std::fs::write(file, text).expect("written");
        }
        std::fs::write(root.path().join(".gitignore"), "out/\n*.log\n!keep.log\n").expect("written");
        std::os::unix::fs::symlink("../outside", root.path().join("link")).expect("linked");
        root
    }

    fn copy(root: &Path, options: &Options) -> Result<Vec<String>, Error> {
        let dest = tempfile::tempdir().expect("a folder");
        let dest = dest.path().join("copy");
        folder(&Cancel::new(), root, &dest, &root.join("templates"), options).map(|()| listing(&dest))
    }

    #[test]
    fn ignore_rules_hold_in_a_checkout_only() {
        let root = source();
        let everything = [".gitignore", ".helmignore", "Chart.yaml", "keep.log", "link", "out", "out/big.bin"];
        assert_eq!(copy(root.path(), &Options::default()).expect("copied"), everything);
        std::fs::create_dir(root.path().join(".git")).expect("made");
        assert_eq!(copy(root.path(), &Options::default()).expect("copied"), everything[..5]);
    }

    #[test]
    fn special_files_and_too_many_files_are_errors() {
        let root = source();
        let error = copy(root.path(), &Options { max_files: 3, ..Options::default() }).expect_err("too many");
        assert!(error.to_string().contains("more than 3 files"), "{error}");
        let error = copy(root.path(), &Options { max_bytes: 3, ..Options::default() }).expect_err("too large");
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        let error = copy(root.path(), &Options::default()).expect_err("a pipe");
        assert_eq!(error.to_string(), "'pipe' in the source is a named pipe: only files, folders and links can be built from");
    }
}
