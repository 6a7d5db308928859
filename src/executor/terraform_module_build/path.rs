//! Paths inside a source: relative to its root, with slashes, without `.` and `..`; the root itself is empty.

/// `name` in `folder`.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", _) => name.to_owned(),
        (_, "") => folder.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// Where `relative`, with its `.` and `..`, leads from `folder`; `None` when that is out of the source. Links on the way do not count:
/// OpenTofu takes the path apart in the same way (`filepath.Join`).
pub(crate) fn resolve(folder: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What `path` is below `folder`; empty for the folder itself, `None` when it is not in it.
pub(crate) fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() || path == folder {
        return Some(&path[folder.len()..]);
    }
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// The folder something is in.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The way from one folder to another, as a module's source names it: it begins with `./` or `../`.
pub(crate) fn way(from: &str, to: &str) -> String {
    let from: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = to.split('/').filter(|part| !part.is_empty()).collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = "../".repeat(from.len() - common);
    let up = if up.is_empty() { "./".to_owned() } else { up };
    format!("{up}{}", to[common..].join("/"))
}

/// For messages: the root has a name too.
pub(crate) fn shown(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_opentofu_does() {
        for (folder, relative, found) in [
            ("", "./a", Some("a")),
            ("a/b", "../c//d/", Some("a/c/d")),
            ("a", "..", Some("")),
            ("a", "../..", None),
            ("", "../a", None),
            ("a/b", "x/../../..", Some("")),
        ] {
            assert_eq!(resolve(folder, relative).as_deref(), found, "{folder} {relative}");
        }
    }

    #[test]
    fn ways_lead_where_they_say() {
        for (from, to, expected) in [
            ("", ".modules/vpc", "./.modules/vpc"),
            ("a/b", ".modules/vpc", "../../.modules/vpc"),
            ("a/b", "a/c", "../c"),
            ("a", "a", "./"),
            ("a/b", "a", "../"),
        ] {
            assert_eq!(way(from, to), expected);
            assert_eq!(resolve(from, expected).as_deref(), Some(to));
        }
    }

    #[test]
    fn below_is_a_matter_of_whole_names() {
        assert_eq!((below("a/b", "a"), below("ab", "a"), below("a", "a"), below("a/b", "")), (Some("b"), None, Some(""), Some("a/b")));
        assert_eq!((parent("a/b"), parent("a"), name("a/b"), name("a"), shown("")), ("a", "", "b", "a", "."));
    }
}
