use super::*;
use std::os::unix::fs::symlink;

/// A source with a module in `mod/` and, beside the source, a folder nobody may reach.
fn source() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, data) in [
        ("src/mod/main.tf", ""),
        ("src/mod/.terraform.lock.hcl", ""),
        ("src/mod/.terraform/modules/x/main.tf", ""),
        ("src/mod/.git/config", ""),
        ("src/mod/docs/a.md", "a"),
        ("src/parts/c.tf", "c"),
        ("src/.git/config", "token"),
        ("secret", "s"),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, data).expect("written");
    }
    dir
}

fn walk(dir: &tempfile::TempDir) -> Result<Vec<String>, String> {
    let walk = || {
        let mut tree = Tree::open(&dir.path().join("src"), Cancel::new())?;
        let (rules, base) = tree.rules("mod")?;
        let mut names = Vec::new();
        tree.walk("mod", &rules, &base, &mut |file| names.push(file.path)).map(|()| names)
    };
    walk().map_err(|error: TreeError| error.to_string())
}

#[test]
fn files_come_sorted_and_links_inside_the_source_are_followed() {
    let dir = source();
    let module = dir.path().join("src/mod");
    symlink("../parts", module.join("parts")).expect("linked");
    symlink("../parts/c.tf", module.join("c.tf")).expect("linked");
    let expected = [".terraform.lock.hcl", "c.tf", "docs/a.md", "main.tf", "parts/c.tf"].map(|name| format!("mod/{name}"));
    assert_eq!(walk(&dir), Ok(expected.to_vec()));
}

#[test]
fn the_nearest_ignore_file_counts() {
    let dir = source();
    fs::write(dir.path().join("src/.terraformignore"), "/mod/docs/\n").expect("written");
    assert_eq!(walk(&dir).expect("read"), ["mod/.terraform.lock.hcl", "mod/main.tf"]);
    fs::write(dir.path().join("src/mod/.terraformignore"), "/main.tf\n*.hcl\n.terraformignore").expect("written");
    assert_eq!(walk(&dir).expect("read"), ["mod/docs/a.md"]);
    fs::write(dir.path().join("src/mod/.terraformignore"), "[").expect("written");
    assert!(walk(&dir).is_err_and(|error| error.starts_with("mod/.terraformignore: line 1: '[' is no pattern: ")));
}

#[test]
fn links_that_lead_out_dangle_or_loop_are_named() {
    let dir = source();
    let link = dir.path().join("src/mod/link");
    let remedy = "replace it by a copy, or list it in .terraformignore";
    for (target, message) in [
        ("../../secret", format!("link 'mod/link' leads out of the source to '../../secret'; {remedy}")),
        ("../../..", format!("link 'mod/link' leads out of the source to '../../..'; {remedy}")),
        ("../.git/config", format!("link 'mod/link' leads out of the source to '../.git/config'; {remedy}")),
        ("nowhere", "link 'mod/link' cannot be followed: No such file or directory (os error 2); repair or remove it, or list it in .terraformignore".to_owned()),
        ("link", "link 'mod/link' cannot be followed: Too many levels of symbolic links (os error 40); repair or remove it, or list it in .terraformignore".to_owned()),
        (".", "link 'mod/link' leads back to a folder it lies in; remove it, or list it in .terraformignore".to_owned()),
        ("..", "link 'mod/link/mod/link' leads back to a folder it lies in; remove it, or list it in .terraformignore".to_owned()),
    ] {
        symlink(target, &link).expect("linked");
        assert_eq!(walk(&dir), Err(message), "{target}");
        fs::remove_file(&link).expect("removed");
    }
    symlink("/etc/passwd", &link).expect("linked");
    fs::write(dir.path().join("src/mod/.terraformignore"), "link\n.terraformignore\n").expect("written");
    assert_eq!(walk(&dir).map(|files| files.len()), Ok(3), "ignored, so never read");
}

#[test]
fn special_files_and_odd_names_are_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = source();
    let module = dir.path().join("src/mod");
    let socket = std::os::unix::net::UnixListener::bind(module.join("s.sock")).expect("bound");
    assert_eq!(walk(&dir), Err("'mod/s.sock' is a socket, not a file; remove it, or list it in .terraformignore".to_owned()));
    drop(socket);
    fs::remove_file(module.join("s.sock")).expect("removed");
    fs::write(module.join(std::ffi::OsStr::from_bytes(b"\xffx")), "").expect("written");
    assert_eq!(walk(&dir), Err("the name 'mod/\u{fffd}x' is not UTF-8; rename the file".to_owned()));
}

#[test]
fn what_is_too_much_is_said() {
    let dir = source();
    let deep = dir.path().join("src/mod").join(["d"; 70].join("/"));
    fs::create_dir_all(&deep).expect("created");
    let error = walk(&dir).expect_err("too deep");
    assert!(error.starts_with("the module has more than 64 levels of folders, at 'mod/d/d"), "{error}");
    fs::remove_dir_all(dir.path().join("src/mod/d")).expect("removed");
    let big = fs::File::create(dir.path().join("src/mod/big")).expect("created");
    big.set_len(MAX_BYTES + 1).expect("sparse");
    assert_eq!(
        walk(&dir),
        Err("the module has more than 2048 MiB, at 'mod/big'; list what it does not need in .terraformignore".to_owned())
    );
}
