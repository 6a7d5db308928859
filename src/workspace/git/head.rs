//! The commit a checkout is based on, read from git's files without git (`gitrepository-layout(5)`).

use std::path::{Path, PathBuf};

/// Most bytes of `packed-refs` that are looked at.
const PACKED: u64 = 16 << 20;

/// The nearest folder at or above `folder` that has a `.git`, and the folder git keeps its files in.
fn repository(folder: &Path) -> Option<PathBuf> {
    let dot_git = folder.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    if dot_git.is_dir() {
        return Some(dot_git);
    }
    // A linked work tree or a submodule: a file that says where.
    let text = std::fs::read_to_string(&dot_git).ok()?;
    Some(dot_git.parent()?.join(text.strip_prefix("gitdir:")?.trim()))
}

/// The commit that `HEAD` names; `None` outside of a checkout or before the first commit.
pub(super) fn commit(folder: &Path) -> Option<String> {
    let git = repository(folder)?;
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let head = head.trim();
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else { return id(head) };
    // Linked work trees keep branches in the folder they were made from.
    let common = std::fs::read_to_string(git.join("commondir")).map_or_else(|_| git.clone(), |text| git.join(text.trim()));
    if name.split('/').any(|part| part == ".." || part.is_empty()) {
        return None;
    }
    if let Ok(text) = std::fs::read_to_string(common.join(name)) {
        return id(text.trim());
    }
    let packed = common.join("packed-refs");
    if std::fs::metadata(&packed).ok()?.len() > PACKED {
        return None;
    }
    std::fs::read_to_string(packed).ok()?.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').and_then(id))
}

fn id(text: &str) -> Option<String> {
    (matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_packed_and_detached_heads_are_read() {
        let root = tempfile::tempdir().expect("a folder");
        let git = root.path().join(".git");
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        std::fs::create_dir_all(git.join("refs/heads")).expect("made");
        std::fs::create_dir_all(root.path().join("charts/app")).expect("made");
        let write = |name: &str, text: &str| std::fs::write(git.join(name), text).expect("written");
        write("HEAD", "ref: refs/heads/main\n");
        assert_eq!(commit(root.path()), None);
        write("packed-refs", &format!("# pack-refs with: peeled\n{two} refs/heads/not-main\n{one} refs/heads/main\n"));
        assert_eq!(commit(&root.path().join("charts/app")), Some(one.clone()));
        write("refs/heads/main", &format!("{two}\n"));
        assert_eq!(commit(root.path()), Some(two));
        write("HEAD", &one);
        assert_eq!(commit(root.path()), Some(one));
    }
}
